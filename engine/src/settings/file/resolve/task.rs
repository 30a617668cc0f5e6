//! Tasks, their split, and the environment that shows them.

use marft_topologies::Team;
use marft_topologies::check::Code;
use marft_topologies::source::{Span, Spanned};

use super::data::Data;
use super::{Resolving, or, start};
use crate::environment::QuestionAnswering;
use crate::settings::file::typed::{SplitFile, TaskFile};
use crate::settings::{EnvironmentSettings, Kind, TaskSettings, TaskSource};
use crate::task::{SplitRule, Task};

/// The kind of environment where none is named, and the column it shows then.
pub(super) const ENVIRONMENT: &str = "question";

impl Resolving<'_> {
    /// The tasks; `None` where `[task]` is missing, which has been reported.
    pub(super) fn task(&mut self, team: Option<&Team>) -> Option<TaskSettings> {
        let task = self.file.task.as_ref()?;
        let environment = self.kind_of_environment(task, team);
        Some(TaskSettings {
            sources: self.sources(task),
            split: task.split.as_ref().and_then(|split| self.split(split)),
            audit: task.audit.iter().flat_map(|names| names.0.iter()).map(|name| name.value.clone()).collect(),
            mixture: task.mixture.as_ref().and_then(|mixture| self.mixture(mixture)),
            curriculum: task.curriculum.as_ref().and_then(|curriculum| self.curriculum(curriculum)),
            environment,
        })
    }

    fn sources(&mut self, task: &Spanned<TaskFile>) -> Vec<TaskSource> {
        if let (Some(_), Some(sources)) = (&task.files, &task.sources) {
            let message = "`files` and `sources` both name data files";
            self.report(Code::BadCombination, message, sources.span, "keep one of them");
        }
        let mut read = Vec::new();
        for file in task.files.iter().flat_map(|files| files.0.iter()) {
            read.push(TaskSource { file: self.existing(file), weight: None });
        }
        let typed: Vec<_> = task.sources.iter().flat_map(|sources| sources.iter()).collect();
        for source in &typed {
            let fine = |weight: f64| weight >= 0.0;
            self.range("weight", source.weight.as_ref(), fine, "a share is not negative");
            let Some(file) = &source.file else { continue };
            let weight = source.weight.as_ref().map(|weight| weight.value);
            read.push(TaskSource { file: self.existing(file), weight });
        }
        let weights: Vec<_> = typed.iter().map(|source| source.weight.as_ref()).collect();
        match (weights.iter().flatten().next(), weights.iter().position(Option::is_none)) {
            (Some(_), Some(without)) => {
                let message = "some sources have a weight and this one has none";
                self.report(Code::MissingKey, message, typed[without].span, "give all of them one, or none");
            }
            (Some(only), None) if typed.len() == 1 => {
                let message = "the weight of the only source has no effect";
                self.report(Code::BadCombination, message, only.span, "leave it out");
            }
            (Some(first), None) if weights.iter().flatten().all(|weight| weight.value == 0.0) => {
                self.report(Code::BadValue, "all weights are 0", first.span, "give a source a weight above 0");
            }
            _ => {}
        }
        if read.is_empty() && typed.is_empty() {
            self.report(Code::MissingKey, "no data file is named", task.span, "add `files = [\"tasks.jsonl\"]`");
        }
        read
    }

    /// Where each data file is named.
    pub(super) fn source_spans(&self) -> Vec<Span> {
        let Some(task) = &self.file.task else { return Vec::new() };
        let files = task.files.iter().flat_map(|files| files.0.iter()).map(|file| file.span);
        let sources = task.sources.iter().flat_map(|sources| sources.iter());
        files.chain(sources.filter_map(|source| Some(source.file.as_ref()?.span))).collect()
    }

    fn split(&mut self, split: &Spanned<SplitFile>) -> Option<SplitRule> {
        match (&split.column, &split.hash) {
            (Some(column), None) => Some(SplitRule::Column(column.value.clone())),
            (None, Some(hash)) => {
                let share = |share: f64| share > 0.0 && share < 1.0;
                self.range("held_out", hash.held_out.as_ref(), share, "it lies between 0 and 1");
                let held_out = or(hash.held_out.as_ref().filter(|typed| share(typed.value)), 0.2);
                Some(SplitRule::Hash { by: hash.by.as_ref()?.value.clone(), held_out })
            }
            (Some(_), Some(hash)) => {
                self.report(Code::BadCombination, "`column` and `hash` both decide", hash.span, "keep one of them");
                None
            }
            (None, None) => {
                let help = "write `split = { column = \"split\" }`, or `split = { hash = { by = … } }`";
                self.report(Code::MissingKey, "nothing decides which rows are held out", split.span, help);
                None
            }
        }
    }

    fn kind_of_environment(&mut self, task: &TaskFile, team: Option<&Team>) -> EnvironmentSettings {
        let Some(typed) = &task.environment else {
            let text = serde_json::Value::from(ENVIRONMENT);
            let settings = team.map(|_| [("text".to_owned(), text)].into_iter().collect());
            return Kind { kind: ENVIRONMENT.to_owned(), settings: settings.unwrap_or_default() };
        };
        let kind = typed.keys.kind.as_ref().map_or_else(|| ENVIRONMENT.to_owned(), |kind| kind.value.clone());
        let pairs = typed.rest.iter().map(|(name, value)| (name.value.clone(), value.value.0.clone()));
        let mut settings = Kind { kind, settings: pairs.collect() };
        let whole = typed.keys.kind.as_ref().map_or(typed.span, |kind| kind.span);
        while let Some(made) = self.registry.environments.make(&settings) {
            let Err(error) = made else { return settings };
            if !self.kind_fault(&error, &typed.rest, whole, &mut settings) {
                return settings;
            }
        }
        let registry = self.registry;
        self.unknown("environment", &settings.kind, whole, registry.environments.kinds());
        settings
    }

    /// Checks what `question` shows to whom; other kinds know for themselves.
    pub(super) fn environment(&mut self, task: &TaskSettings, team: Option<&Team>, data: &Data) {
        if task.environment.kind != ENVIRONMENT {
            return;
        }
        let Ok(question) = task.environment.read::<QuestionAnswering>() else { return };
        let typed = self.file.task.as_ref().and_then(|task| task.environment.as_ref());
        let place = |key: &str| {
            let rest = typed.map(|typed| typed.rest.iter());
            let found = rest.and_then(|mut rest| rest.find(|(name, _)| name.value == key).map(|(_, value)| value.span));
            found.or(typed.map(|typed| typed.span)).unwrap_or_else(start)
        };
        let text = |column: &str| {
            let column = column.to_owned();
            move |row: &Task| row.text(&column).is_some()
        };
        if let Some(column) = &question.text {
            self.full_column(data, column, place("text"), "no text", text(column));
        }
        for column in question.own.values() {
            self.full_column(data, column, place("own"), "no text", text(column));
        }
        if let Some(team) = team {
            self.audience(team, &question, place("own"), place("text"), data);
        }
    }

    /// Whether all who see the task see something, and whether all columns are seen.
    fn audience(&mut self, team: &Team, question: &QuestionAnswering, own: Span, text: Span, data: &Data) {
        let labels: Vec<&str> = team.agents().map(|(id, _)| team.node(id).label.as_str()).collect();
        for agent in question.own.keys() {
            let mut seen = team.nodes().iter().filter(|node| &node.label == agent && node.agent().is_some()).peekable();
            if seen.peek().is_none() {
                self.unknown("agent", agent, own, labels.iter().copied());
            } else if !seen.any(|node| node.sees_task) {
                let message = format!("`{agent}` is shown a column of its own, but does not see the task");
                self.report(Code::BadCombination, message, own, "add \"task\" to its `sees` in the team file");
            }
        }
        let seeing = team.nodes().iter().filter(|node| node.block == Team::ROOT && node.sees_task);
        let others: Vec<_> = seeing.filter(|node| !question.own.contains_key(&node.label)).collect();
        match (&question.text, others.iter().find(|node| node.agent().is_some())) {
            (None, Some(node)) => {
                let message = format!("`{}` sees the task, but no column is shown to it", node.label);
                let help = format!("add `text = COLUMN` for all, or `own = {{ {} = COLUMN }}`", node.label);
                self.report(Code::MissingKey, message, text, help);
            }
            (Some(column), _) if others.is_empty() => {
                let message =
                    format!("nobody is shown the column `{column}`: all who see the task see one of their own");
                self.report(Code::BadCombination, message, text, "leave `text` out");
            }
            _ => {}
        }
        for (field, _) in team.task_fields() {
            if question.text.is_none() {
                let message = format!("the team asks for the task's field `{field}`, which comes with `text` alone");
                self.report(Code::MissingKey, message, text, "add `text = COLUMN`");
            } else {
                self.column(data, field, text);
            }
        }
    }
}
