//! From what is typed to what is meant: defaults filled in, paths made usable, ranges and combinations checked.
//!
//! A value at fault is reported and replaced by its default, so that the rest can be checked too; settings with a problem
//! are never handed out.

mod agents;
mod algorithm;
mod constrain;
mod credit;
mod cut;
mod data;
mod difficulty;
mod evaluation;
mod kl_control;
mod model;
mod order;
mod overlong;
mod reward;
mod sampling;
mod serve;
mod stages;
mod task;
mod team;
mod tools;
mod train;
mod unread;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use marft_topologies::Team;
use marft_topologies::check::names::nearest;
use marft_topologies::check::{Code, Problem, Report};
use marft_topologies::source::{FileId, Sources, Span, Spanned};

use self::data::Data;
use super::typed::RunFile;
use crate::settings::{LogSettings, Registry, RunSettings};

/// What came of a run file.
pub(super) struct Resolved {
    /// The settings; not to be used when there are problems.
    pub(super) settings: Option<RunSettings>,
    pub(super) team: Option<Arc<Team>>,
    /// Problems of the run file.
    pub(super) problems: Vec<Problem>,
    /// Problems of the team file.
    pub(super) team_report: Option<Report>,
    pub(super) warnings: Vec<String>,
}

/// A run file being resolved.
struct Resolving<'a> {
    file: &'a RunFile,
    folder: &'a Path,
    registry: &'a Registry,
    problems: Vec<Problem>,
    /// Problems of the team file that only a run has.
    team_problems: Vec<Problem>,
    /// The team file, and those that it takes teams from.
    team_sources: Sources,
    warnings: Vec<String>,
}

/// The start of the run file: where what is missing is missing.
fn start() -> Span {
    Span::new(FileId(0), 0..0)
}

/// Resolves a run file whose relative paths start in `folder`.
pub(super) fn resolve(file: &RunFile, folder: &Path, registry: &Registry) -> Resolved {
    let mut run = Resolving {
        file,
        folder,
        registry,
        problems: Vec::new(),
        team_problems: Vec::new(),
        team_sources: Sources::default(),
        warnings: Vec::new(),
    };
    let (team_name, team, team_report) = run.team();
    let model = run.model();
    let roster = team.as_deref().map(|team| run.agents(team, &model));
    let task = run.task(team.as_deref());
    let data = task.as_ref().map_or_else(Data::default, |task| run.data(task));
    if let Some(task) = &task {
        run.environment(task, team.as_deref(), &data);
    }
    let reward = run.reward(team.as_deref(), &data);
    let (mut algorithm, kl_target) = if let (Some(team), Some(roster)) = (&team, &roster) {
        run.algorithms(team, roster, &model)
    } else {
        run.algorithm_alone();
        Default::default()
    };
    let shares = match (&team, &roster) {
        (Some(team), Some(roster)) => run.credit(team, roster, &mut algorithm),
        _ => BTreeMap::new(),
    };
    run.per_step(&algorithm, &reward);
    run.sampling_metric(&algorithm, &reward);
    let tools = run.tools(team.as_deref());
    let train = run.train(&model);
    let rollout = run.rollout(&data);
    let stages = run.stages(train.steps, &data, roster.as_ref());
    if let (Some(team), Some(roster)) = (&team, &roster) {
        run.constraints(team, roster, &stages);
        run.cut_sampling(team, roster, &stages, &rollout);
    }
    if task.as_ref().is_some_and(|task| task.environment.kind == task::ENVIRONMENT) {
        run.warm_up(&algorithm, &rollout, &stages);
        run.interval(&algorithm, &rollout, &stages);
    }
    run.rise(train.warmup, &stages, &algorithm);
    let eval = run.eval(&data, &reward);
    run.too_late(&eval, &train, &stages);
    let checkpoint = run.checkpoint();
    let serve = run.serve(roster.as_ref(), &model);
    let settings = task.map(|task| RunSettings {
        name: run.name(),
        seed: or(file.seed.as_ref(), 0),
        deterministic: or(file.deterministic.as_ref(), model.device == crate::settings::DeviceName::Cpu),
        team: team_name.clone(),
        model,
        task,
        reward,
        tools,
        algorithm,
        shares,
        kl_target,
        train,
        rollout,
        stages,
        eval,
        checkpoint,
        serve,
        log: run.log(),
    });
    let team_report = team_report.or_else(|| run.team_report());
    let Resolving { problems, warnings, .. } = run;
    Resolved { settings, team, problems, team_report, warnings }
}

/// What was typed, or the default.
fn or<T: Copy>(typed: Option<&Spanned<T>>, default: T) -> T {
    typed.map_or(default, |typed| typed.value)
}

/// A count as typed, or the default.
fn count(typed: Option<&Spanned<u64>>, default: usize) -> usize {
    typed.map_or(default, |typed| usize::try_from(typed.value).unwrap_or(usize::MAX))
}

impl Resolving<'_> {
    fn report(&mut self, code: Code, message: impl Into<String>, span: Span, help: impl Into<String>) {
        self.problems.push(Problem::new(code, message, span).help(help));
    }

    /// Reports what the team file says and this run cannot keep.
    fn in_team_file(&mut self, code: Code, message: String, span: Span, help: impl Into<String>) {
        self.team_problems.push(Problem::new(code, message, span).help(help));
    }

    /// Reports a name that is not among `known`.
    fn unknown<'k>(&mut self, what: &str, name: &str, span: Span, known: impl IntoIterator<Item = &'k str>) {
        let known: Vec<_> = known.into_iter().collect();
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "there is none".to_owned(),
            None => format!("there are `{}`", known.join("`, `")),
        };
        self.report(Code::DanglingReference, format!("there is no {what} `{name}`"), span, help);
    }

    /// Reports a number that `fine` refuses.
    fn range<T: Copy + std::fmt::Display>(
        &mut self,
        key: &str,
        typed: Option<&Spanned<T>>,
        fine: impl Fn(T) -> bool,
        rule: &str,
    ) {
        if let Some(typed) = typed.filter(|typed| !fine(typed.value)) {
            let message = format!("`{key}` cannot be {}: {rule}", typed.value);
            self.report(Code::BadValue, message, typed.span, format!("correct it, or leave `{key}` out"));
        }
    }

    /// A path as the run file means it.
    fn beside(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// A file that must be there.
    fn existing(&mut self, path: &Spanned<String>) -> PathBuf {
        let found = self.beside(path);
        if !found.is_file() {
            let message = format!("there is no file `{}`", found.display());
            self.report(Code::MissingFile, message, path.span, "paths are relative to the folder of the run file");
        }
        found
    }

    fn name(&mut self) -> String {
        if let Some(name) = &self.file.name {
            let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
            if !plain || name.chars().any(char::is_control) {
                let message = format!("`{}` cannot be the name of a folder", name.value);
                self.report(Code::BadName, message, name.span, "use letters, digits, `-` and `_`");
            }
            return name.value.clone();
        }
        let folder = std::path::absolute(self.folder).ok();
        folder
            .as_deref()
            .and_then(Path::file_name)
            .map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into())
    }

    fn log(&self) -> LogSettings {
        let log = self.file.log.as_ref();
        LogSettings {
            episodes: or(log.and_then(|log| log.episodes.as_ref()), true),
            tensorboard: or(log.and_then(|log| log.tensorboard.as_ref()), true),
        }
    }
}
