//! `marft replay`: an episode of a run once more, and where it first differs.

use std::path::PathBuf;

use marft::engine::checkpoint::{CheckpointError, Checkpoints};
use marft::engine::episode;
use marft::engine::settings::Registry;
use marft::engine::trainer::{EpisodeId, Trainer};
use miette::{IntoDiagnostic as _, WrapErr as _};

use super::eval::{open, transcript, whole};
use super::progress::passed_over;
use super::train::{say, tell};
use super::{Exit, Output};

/// Run an episode of a run again and compare it, token by token, with what was recorded
///
/// Goes on from the newest checkpoint before the episode's step, repeats the steps in between, and rolls the episode out
/// alone. What a person said in the run is taken from its record. Nothing is written. Exit code 1 says that it differs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of the run
    run: PathBuf,
    /// The episode: STEP-TASK-SAMPLE
    #[arg(long, value_name = "ID")]
    episode: EpisodeId,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        let Self { run, episode: id } = self;
        let (loaded, folder) = open(&run)?;
        let records = episode::read(&folder.episodes(id.step))
            .into_diagnostic()
            .wrap_err_with(|| format!("the episodes of step {} cannot be read", id.step))?;
        let recorded = records.into_iter().find(|record| record.task == id.task && record.sample == id.sample);
        let Some(recorded) = recorded else {
            miette::bail!("step {} has no episode of task `{}` with sample {}", id.step, id.task, id.sample);
        };
        if !loaded.settings.deterministic {
            say("warning: the run is not deterministic: rounding may differ, and with it tokens");
        }
        let mut trainer = Trainer::new(loaded, Registry::default()).map_err(tell)?;
        trainer.recall(&folder).map_err(tell)?;
        let checkpoints = Checkpoints::look_at(folder.checkpoints()).needing(trainer.checkpoint_files());
        let before = match checkpoints.before(id.step) {
            // steps that nothing whole is left of are done again from the first on
            Err(CheckpointError::AllDamaged { rejected, .. }) => {
                for one in rejected {
                    say(&passed_over(&one));
                }
                None
            }
            found => whole(found.into_diagnostic().wrap_err("could not look for checkpoints")?),
        };
        if let Some(found) = before {
            trainer.restore(&found.folder).map_err(tell)?;
        }
        trainer.catch_up(id.step).map_err(tell)?;
        let Some(again) = trainer.replay(&id.task, id.sample).map_err(tell)? else {
            miette::bail!("step {} did not draw task `{}`", id.step, id.task);
        };
        output.text(&transcript(&again))?;
        match recorded.first_difference(&again) {
            None => {
                output.text("\nthe same, token for token\n")?;
                Ok(Exit::Success)
            }
            Some(difference) => {
                output.text(&format!("\nfirst difference: {difference}\n"))?;
                Ok(Exit::Problems)
            }
        }
    }
}
