//! `marft eval`: how well a run's team does on its held-out tasks.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use marft::engine::checkpoint::{Checkpoints, Found};
use marft::engine::settings::Registry;
use marft::engine::settings::file::Loaded;
use marft::engine::trainer::{Folder, Trainer, TrainerError};
use marft::topologies::Team;
use miette::{IntoDiagnostic as _, WrapErr as _};

use super::progress;
use super::train::{assignment, read, say, tell};
use super::{Exit, Output};

/// Evaluate a team on held-out tasks
///
/// RUN is the folder of a run, evaluated with its newest checkpoint or that of `--step` (0 is the untrained team), or a run
/// file, whose team is evaluated as it stands.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of a run, or a run file
    run: PathBuf,
    /// Which checkpoint; 0 is the untrained team
    #[arg(long)]
    step: Option<u64>,
    /// Most held-out tasks [default: as the run says]
    #[arg(long)]
    tasks: Option<NonZeroUsize>,
    /// Episodes a task [default: as the run says]
    #[arg(long)]
    samples: Option<NonZeroU32>,
    /// Temperature of all agents; 0 is greedy [default: as the run says]
    #[arg(long, value_parser = temperature, allow_negative_numbers = true)]
    temperature: Option<f64>,
    /// Change a setting of a run file; may be repeated. Not for the folder of a run, which has its settings
    #[arg(long, value_name = "PATH=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// How to answer
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Show this many transcripts
    #[arg(long, default_value_t = 0)]
    show: usize,
}

/// How to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Human,
    /// One JSON object
    Json,
}

/// Reads a temperature.
fn temperature(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok().filter(|number| (0.0..f64::INFINITY).contains(number));
    number.ok_or_else(|| "expected a number that is not negative".to_owned())
}

impl Args {
    /// Refuses options that would have no effect.
    fn check(&self) -> miette::Result<()> {
        let of_folder = self.run.is_dir();
        if of_folder && !self.set.is_empty() {
            return Err(miette::miette!(
                help = "use --tasks, --samples and --temperature, or give the run file",
                "--set changes a run file, and {} is the folder of a run",
                self.run.display()
            ));
        }
        if !of_folder && self.step.is_some_and(|step| step > 0) {
            return Err(miette::miette!(
                help = "give the folder of the run",
                "--step names a checkpoint, and {} is a run file",
                self.run.display()
            ));
        }
        Ok(())
    }

    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        self.check()?;
        let (mut loaded, folder) = if self.run.is_dir() {
            let (loaded, folder) = open(&self.run)?;
            (loaded, Some(folder))
        } else {
            match read(&self.run, &self.set) {
                Some(loaded) => (loaded, None),
                None => return Ok(Exit::Problems),
            }
        };
        let eval = &mut loaded.settings.eval;
        eval.tasks = self.tasks.map(NonZeroUsize::get).or(eval.tasks);
        eval.samples = self.samples.map_or(eval.samples, NonZeroU32::get);
        // the untrained team spoke at the temperature of the run
        let comparable = self.temperature.is_none_or(|own| Some(own) == eval.temperature);
        eval.temperature = self.temperature.or(eval.temperature);
        let mut trainer = Trainer::to_evaluate(loaded, Registry::default()).map_err(tell)?;
        if let Some(folder) = folder {
            restore(&mut trainer, &folder, self.step).map_err(tell)?;
        }
        let (found, records) = trainer.evaluate().map_err(tell)?;
        let Some(mut found) = found else { miette::bail!("every episode of the evaluation broke") };
        found.gain = found.gain.filter(|_| comparable);
        match self.format {
            Format::Human => output.text(&(progress::evaluation(&found) + "\n"))?,
            Format::Json => {
                let line = serde_json::to_string(&found).into_diagnostic().wrap_err("could not write the scores")?;
                output.text(&(line + "\n"))?;
            }
        }
        for record in records.iter().take(self.show) {
            output.text(&transcript(record))?;
        }
        Ok(Exit::Success)
    }
}

/// What a run was told, from its folder.
pub(super) fn open(path: &std::path::Path) -> miette::Result<(Loaded, Folder)> {
    let folder = Folder::look_at(path);
    let bundle = folder.bundle().map_err(tell)?;
    let Some(bundle) = bundle else {
        return Err(miette::miette!(
            help = "name the folder that `marft train` wrote, or a run file",
            "{} holds no run",
            path.display()
        ));
    };
    for change in bundle.changed() {
        say(&format!("warning: since the run began, {change}"));
    }
    let settings = bundle.settings;
    let team = team(&settings.team)?;
    Ok((Loaded { settings, team, warnings: vec![] }, folder))
}

fn team(name: &str) -> miette::Result<std::sync::Arc<Team>> {
    let loaded = Team::load(std::path::Path::new(name));
    loaded.map(std::sync::Arc::new).map_err(|report| miette::Report::msg(report.render(false, 100)))
}

fn restore(trainer: &mut Trainer, folder: &Folder, step: Option<u64>) -> Result<(), TrainerError> {
    if step == Some(0) {
        return Ok(());
    }
    let checkpoints = Checkpoints::look_at(folder.checkpoints()).needing(trainer.checkpoint_files());
    let of = match step {
        Some(step) => checkpoints.of(step)?,
        None => whole(checkpoints.latest()?).map(|found| found.folder),
    };
    match of {
        Some(of) => trainer.restore(&of),
        None => Err(TrainerError::Setting(format!(
            "{} has no such checkpoint; it has those of steps {:?}",
            folder.path().display(),
            checkpoints.steps()?
        ))),
    }
}

/// What was found, with those that had to be passed over named.
pub(super) fn whole(found: Option<Found>) -> Option<Found> {
    for rejected in found.iter().flat_map(|found| &found.rejected) {
        say(&progress::passed_over(rejected));
    }
    found
}

/// An episode as people read it.
pub(super) fn transcript(record: &marft::engine::episode::EpisodeRecord) -> String {
    let reward = record.reward.as_ref().map_or("no reward".to_owned(), |reward| format!("reward {:.2}", reward.total));
    let mut text = format!("\n{} ({reward})\n", record.task);
    for turn in &record.turns {
        text += &format!("  {}: {}\n", turn.agent, turn.text.trim().replace('\n', " "));
    }
    text
}
