//! `marft eval`: how well a run's team does on its held-out tasks.

use std::path::PathBuf;

use marft::engine::checkpoint::Checkpoints;
use marft::engine::settings::Registry;
use marft::engine::settings::file::Loaded;
use marft::engine::trainer::{Folder, Trainer, TrainerError};
use marft::topologies::Team;
use miette::{IntoDiagnostic as _, WrapErr as _};

use super::progress;
use super::train::{assignment, read, tell};
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
    tasks: Option<usize>,
    /// Episodes a task [default: as the run says]
    #[arg(long)]
    samples: Option<u32>,
    /// Temperature of all agents; 0 is greedy [default: as the run says]
    #[arg(long)]
    temperature: Option<f64>,
    /// Change a setting of a run file; may be repeated
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

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
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
        eval.tasks = self.tasks.or(eval.tasks);
        eval.samples = self.samples.unwrap_or(eval.samples);
        eval.temperature = self.temperature.or(eval.temperature);
        let mut trainer = Trainer::new(loaded, Registry::default()).map_err(tell)?;
        if let Some(folder) = folder {
            restore(&mut trainer, &folder, self.step).map_err(tell)?;
        }
        let (found, records) = trainer.evaluate().map_err(tell)?;
        let Some(found) = found else { miette::bail!("every episode of the evaluation broke") };
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
    let checkpoints = Checkpoints::look_at(folder.checkpoints());
    let of = match step {
        Some(step) => Some(checkpoints.folder(step)).filter(|folder| folder.is_dir()),
        None => checkpoints.latest()?.map(|found| found.folder),
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

/// An episode as people read it.
pub(super) fn transcript(record: &marft::engine::episode::EpisodeRecord) -> String {
    let reward = record.reward.as_ref().map_or("no reward".to_owned(), |reward| format!("reward {:.2}", reward.total));
    let mut text = format!("\n{} ({reward})\n", record.task);
    for turn in &record.turns {
        text += &format!("  {}: {}\n", turn.agent, turn.text.trim().replace('\n', " "));
    }
    text
}
