//! `marft train`: a run file to trained adapters.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use marft::engine::metrics::sparkline;
use marft::engine::settings::file::{Loaded, load};
use marft::engine::settings::{Registry, Sharing};
use marft::engine::trainer::{DryRun, End, Folder, Run, StagePlan, Stop, Trainer, TrainerError};
use miette::{IntoDiagnostic as _, WrapErr as _};

use super::progress::Progress;
use super::signals::{INTERRUPT, that_end, watch};
use super::story::scores;
use super::{Exit, Output};

/// Train a team as a run file says
///
/// Adapters land in DIR/checkpoints/STEP/POLICY in PEFT format, numbers in DIR/metrics.jsonl; `marft export` makes a model
/// folder of what was trained. Ctrl-C, SIGTERM and SIGHUP finish the step, save and exit with 130, 143 and 129;
/// `--resume` goes on from the newest whole checkpoint, with the same numbers.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run file
    run: PathBuf,
    /// Folder of the run [default: runs/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in the folder
    #[arg(long)]
    resume: bool,
    /// Change a setting, such as `train.steps=50`; may be repeated
    #[arg(long, value_name = "PATH=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Say what the run would do and need, and stop
    #[arg(long)]
    dry_run: bool,
}

/// Reads `path=value`.
pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    let (path, value) = text.split_once('=').ok_or_else(|| "expected PATH=VALUE, such as train.steps=50".to_owned())?;
    Ok((path.trim().to_owned(), value.trim().to_owned()))
}

/// Reads a run file; tells all its problems, and returns `None`, where it has some.
pub(super) fn read(run: &Path, set: &[(String, String)]) -> Option<Loaded> {
    match load(run, set) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                say(&format!("warning: {warning}"));
            }
            Some(loaded)
        }
        Err(report) => {
            let count = report.problems().len();
            let plural = if count == 1 { "" } else { "s" };
            say(&format!("{}{}: {count} problem{plural}", report.render(color(), 100), run.display()));
            None
        }
    }
}

/// Writes a line to stderr; nobody is left to be told when that fails.
pub(super) fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// Whether colours are welcome on stderr.
fn color() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        let Some(loaded) = read(&self.run, &self.set) else { return Ok(Exit::Problems) };
        let folder = self.out.clone().unwrap_or_else(|| loaded.settings.folder());
        let holds_run = Folder::look_at(&folder).bundle().map_err(tell)?.is_some();
        if self.dry_run {
            let plan = DryRun::new(&loaded.settings, &loaded.team).map_err(tell)?;
            output.text(&describe(&plan, &folder, holds_run)?)?;
            return Ok(Exit::Success);
        }
        match (self.resume, holds_run) {
            // said before the model is loaded
            (false, true) => return Err(tell(TrainerError::Occupied(folder))),
            (true, false) => say(&format!("{} holds no run yet: beginning one", folder.display())),
            _ => {}
        }
        let stop = Stop::default();
        let asked = watch_interrupts(&stop)?;
        let trainer = Trainer::new(loaded, Registry::default()).map_err(tell)?;
        let mut run = Run::open(trainer, &folder, self.resume).map_err(tell)?;
        let mut progress = Progress::new();
        let end = run.drive(&mut progress, &stop);
        progress.finish();
        let end = end.map_err(tell)?;
        output.text(&summary(end, &folder, run.trainer()))?;
        Ok(if end == End::Interrupted { Exit::Interrupted(asked.load(Ordering::Acquire)) } else { Exit::Success })
    }
}

/// The first signal that asks to end asks the run to stop after its step, and is given; Ctrl-C then ends the process.
pub(super) fn watch_interrupts(stop: &Stop) -> miette::Result<Arc<AtomicU8>> {
    let stop = stop.clone();
    let first = Arc::new(AtomicU8::new(0));
    let asked = Arc::clone(&first);
    watch(&that_end(), move |signal| {
        if !stop.requested() {
            asked.store(signal.try_into().unwrap_or_default(), Ordering::Release);
            stop.request();
            let again = if signal == INTERRUPT { " again" } else { "" };
            say(&format!("stopping after this step; Ctrl-C{again} to stop at once, without saving"));
        } else if signal == INTERRUPT {
            // schedulers repeat theirs, and mean it to be saved
            leave();
        }
    })
    .into_diagnostic()
    .wrap_err("cannot watch for signals")?;
    Ok(first)
}

/// Ends the process at once. What runs at an ordinary exit would crash beside the threads of libtorch, which are at work: so
/// another program takes the place of this one.
#[expect(clippy::exit, clippy::disallowed_methods, reason = "who asks twice wants no unwinding; saved steps are whole")]
fn leave() {
    #[cfg(unix)]
    drop(std::os::unix::process::CommandExt::exec(std::process::Command::new("/bin/sh").args(["-c", "exit 130"])));
    std::process::exit(130);
}

/// A trainer's error as a report.
pub(super) fn tell(error: TrainerError) -> miette::Report {
    let text = error.to_string();
    // an error that says what helps says it after `hint:`
    match text.split_once("; hint: ") {
        Some((what, hint)) => miette::miette!(help = hint.to_owned(), "{what}"),
        None => Err::<(), _>(error).into_diagnostic().expect_err("it is an error"),
    }
}

fn summary(end: End, folder: &Path, trainer: &Trainer) -> String {
    let state = trainer.state();
    let how = match end {
        End::Complete => "complete".to_owned(),
        End::Budget(which) => format!("budget of {which} spent"),
        End::EarlyStop => "no more progress".to_owned(),
        End::Interrupted => "interrupted".to_owned(),
    };
    let mut text = format!("{how} after step {} of {}\n", state.step, trainer.plan().steps());
    // of the whole run, also of what earlier processes did of it
    let scores = scores(folder);
    if let (Some(first), Some(last)) = (scores.first(), scores.last()) {
        text += &format!("held out: {first:.3} → {last:.3}  {}\n", sparkline(&scores, 40));
    }
    if state.step > 0 {
        let saved = folder.join("checkpoints").join(state.step.to_string());
        text += &match trainer.settings().model.weights {
            // a checkpoint of these is for going on only
            Sharing::Full => format!(
                "the trained base: {}; to make a model of it: marft export {} --out {}\n",
                saved.display(),
                folder.display(),
                folder.join("model").display()
            ),
            Sharing::Team | Sharing::Shared | Sharing::PerAgent => format!("adapters: {}\n", saved.display()),
        };
    }
    text
}

/// What a run would do: its settings as JSON, then what follows of them in words.
fn describe(plan: &DryRun, folder: &Path, holds_run: bool) -> miette::Result<String> {
    let mut text = serde_json::to_string_pretty(&plan.settings).into_diagnostic()? + "\n\n";
    let state = if holds_run { ", which holds a run: it goes on with --resume" } else { "" };
    text += &format!("folder {}{state}\n", folder.display());
    for stage in &plan.stages {
        text += &described(stage, plan);
    }
    for (agent, weights) in &plan.learners {
        text += &format!("agent {agent} learns as {weights}\n");
    }
    for agent in &plan.others {
        text += &format!("agent {agent} does not learn\n");
    }
    text += &match plan.settings.task.split {
        Some(_) => format!("{} tasks to train on, {} held out\n", plan.tasks.0, plan.tasks.1),
        None => format!("{} tasks to train on, none held out\n", plan.tasks.0),
    };
    text +=
        &format!("an episode takes at most {} calls and {} tokens\n", plan.calls_per_episode, plan.tokens_per_episode);
    text += &format!("{} evaluations of {} episodes\n", plan.evaluations, plan.episodes_per_evaluation);
    text += &match (plan.settings.checkpoint.every, plan.settings.checkpoint.keep) {
        (0, _) => "a checkpoint after the last step\n".to_owned(),
        (every, 0) => format!("a checkpoint every {every} steps, all kept\n"),
        (every, keep) => format!("a checkpoint every {every} steps, the last {keep} and the best kept\n"),
    };
    text += &format!("\n{}\n", plan.memory);
    if let Some(available) = plan.available {
        text += &format!("{:<16}{:>10.1} GiB\n", "available", available as f64 / f64::from(1 << 30));
    }
    Ok(text)
}

fn described(stage: &StagePlan, plan: &DryRun) -> String {
    let StagePlan { kind, first, steps, learners, frozen, episodes_per_step, replays } = stage;
    let mut text = format!("stage {kind}: {steps} steps from step {first}; {} learn", learners.join(", "));
    if !frozen.is_empty() {
        text += &format!(", {} frozen", frozen.join(", "));
    }
    if *episodes_per_step > 0 {
        let episodes = stage.episodes();
        text += &format!(
            "; {episodes_per_step} episodes a step, in all at most {episodes} with {} calls and {} tokens",
            episodes.saturating_mul(plan.calls_per_episode),
            episodes.saturating_mul(plan.tokens_per_episode)
        );
    }
    if *replays {
        text += ", and replays of them for credit";
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_split_at_the_first_sign() {
        assert_eq!(assignment("a.b = c=d"), Ok(("a.b".to_owned(), "c=d".to_owned())));
        assert!(assignment("train.steps").is_err());
    }
}
