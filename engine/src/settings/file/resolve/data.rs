//! The rows behind the tasks: read once, so that every column that the run file names can be looked up.

use std::collections::{BTreeSet, HashMap};

use marft_topologies::check::Code;
use marft_topologies::source::Span;

use super::{Resolving, start};
use crate::settings::TaskSettings;
use crate::task::{ReadError, Splits, Task, audit, read_rows};

/// All rows of a run.
#[derive(Debug, Default)]
pub(super) struct Data {
    /// The two sides; all rows stand on both where there is no split. `None` where rows could not be read or split.
    pub(super) splits: Option<Splits>,
    /// Every row; empty where they could not be read.
    pub(super) rows: Vec<Task>,
    columns: BTreeSet<String>,
}

impl Data {
    /// Names of all columns, in order of the alphabet.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(String::as_str)
    }
}

impl Resolving<'_> {
    /// Reads and splits the rows.
    pub(super) fn data(&mut self, task: &TaskSettings) -> Data {
        let Some(rows) = self.rows(task) else { return Data::default() };
        let columns = rows.iter().flat_map(|row| row.fields.keys().cloned()).collect();
        let mut data = Data { splits: None, rows, columns };
        data.splits = self.sides(task, &data);
        self.audit(task, &data);
        self.difficulty(task, &data);
        data
    }

    fn sides(&mut self, task: &TaskSettings, data: &Data) -> Option<Splits> {
        let Some(rule) = &task.split else {
            self.warnings.push(
                "nothing is held out: the team is evaluated on what it trains on, unless `task.split` is set"
                    .to_owned(),
            );
            return Some(Splits { train: data.rows.clone(), held_out: data.rows.clone() });
        };
        let typed = self.file.task.as_ref().and_then(|task| task.split.as_ref())?;
        let by = typed.hash.as_ref().and_then(|hash| hash.by.as_ref());
        let column = typed.column.as_ref().or(by)?;
        if !self.column(data, column, column.span) {
            return None;
        }
        Splits::of(data.rows.clone(), rule)
            .map_err(|error| self.report(Code::BadValue, error.to_string(), column.span, "every row is on one side"))
            .ok()
    }

    /// All rows of all files; `None` where one could not be read.
    fn rows(&mut self, task: &TaskSettings) -> Option<Vec<Task>> {
        let spans = self.source_spans();
        let mut rows: Vec<Task> = Vec::new();
        let mut whole = true;
        for (at, source) in task.sources.iter().enumerate() {
            // A missing file has been reported.
            if !source.file.is_file() {
                whole = false;
                continue;
            }
            let span = spans.get(at).copied().unwrap_or_else(start);
            match read_rows(&source.file) {
                Ok(read) => rows.extend(read),
                Err(error) => {
                    whole = false;
                    let code = if matches!(error, ReadError::Io(_)) { Code::Unreadable } else { Code::BadValue };
                    self.report(code, error.to_string(), span, "correct the file");
                }
            }
        }
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let twice = rows.iter().enumerate().find(|(at, row)| seen.insert(&row.id, *at).is_some());
        if let Some((_, row)) = twice {
            let message = format!("the id `{}` stands in two files", row.id);
            let span = spans.first().copied().unwrap_or_else(start);
            self.report(Code::DuplicateId, message, span, "give the rows a column `id` that tells them apart");
        }
        (whole && !rows.is_empty()).then_some(rows)
    }

    /// Whether rows have a column; reports one that none has. Nothing is said of rows that could not be read.
    pub(super) fn column(&mut self, data: &Data, name: &str, span: Span) -> bool {
        let found = data.rows.is_empty() || data.columns.contains(name);
        if !found {
            self.unknown("column", name, span, data.columns());
        }
        found
    }

    /// Reports a column in which some rows have nothing that `fine` takes.
    pub(super) fn full_column(
        &mut self,
        data: &Data,
        name: &str,
        span: Span,
        what: &str,
        fine: impl Fn(&Task) -> bool,
    ) {
        if !self.column(data, name, span) {
            return;
        }
        let lacking: Vec<&Task> = data.rows.iter().filter(|row| !fine(row)).collect();
        if let Some(first) = lacking.first() {
            let message = format!(
                "{} of {} rows have {what} in the column `{name}`, the first of them `{}`",
                lacking.len(),
                data.rows.len(),
                first.id
            );
            self.report(Code::BadValue, message, span, "complete the rows, or take them out");
        }
    }

    fn audit(&mut self, task: &TaskSettings, data: &Data) {
        let Some(columns) = self.file.task.as_ref().and_then(|task| task.audit.as_ref()) else { return };
        if task.split.is_none() {
            self.report(
                Code::BadCombination,
                "`audit` has no effect: nothing is held out",
                columns.span,
                "add a `split`, or leave `audit` out",
            );
            return;
        }
        for name in &columns.0 {
            if !self.column(data, name, name.span) {
                continue;
            }
            if data.rows.iter().all(|row| row.text(name).is_none()) {
                let message = format!("`audit` has no effect: no row has a text in the column `{}`", name.value);
                self.report(Code::BadCombination, message, name.span, "name a column of texts or numbers");
                continue;
            }
            let Some(splits) = &data.splits else { continue };
            let found = audit(&splits.train, &splits.held_out, std::slice::from_ref(&name.value));
            if let Some(first) = found.first() {
                let message = format!(
                    "{} held-out rows repeat what is trained on: `{}` in the column `{}`, held out in `{}`, trained on in `{}`",
                    found.len(),
                    first.text,
                    first.column,
                    first.held_out,
                    first.train
                );
                let help = format!("split by a column that decides `{}`, such as itself", name.value);
                self.report(Code::BadValue, message, name.span, help);
            }
        }
    }
}
