//! What a check found, for people and for programs.

use std::collections::HashSet;
use std::fmt::{self, Write as _};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::Problem;
use crate::source::Sources;
use crate::worst_case::WorstCase;

/// Most problems shown to a person; programs get all.
const SHOWN: usize = 50;

/// The problems of a file that is no valid team.
#[derive(Debug, Clone)]
pub struct Report {
    pub(crate) sources: Sources,
    pub(crate) problems: Vec<Problem>,
}

/// The result of checking a file.
#[derive(Debug, Clone)]
pub struct CheckReport {
    pub(crate) report: Report,
    pub(crate) layers: Vec<Vec<String>>,
    pub(crate) worst_case: WorstCase,
}

impl Report {
    /// Puts problems in order of place; what is repeated is said once.
    pub fn new(sources: Sources, mut problems: Vec<Problem>) -> Self {
        for problem in &mut problems {
            problem.narrow(&sources);
        }
        let mut seen = HashSet::new();
        problems.retain(|problem| {
            let place = (problem.span.file, problem.span.start);
            seen.insert((problem.code, place, problem.message.clone()))
        });
        problems.sort_by_key(|problem| (problem.span.file, problem.span.start, problem.span.end));
        Self { sources, problems }
    }

    /// Takes the files and problems of another report behind its own.
    pub fn absorb(&mut self, other: Self) {
        let offset = self.sources.append(other.sources);
        self.problems.extend(other.problems.into_iter().map(|mut problem| {
            problem.span.file.0 += offset;
            problem
        }));
    }

    /// The problems in order of place.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The files that were read, the checked one first.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Line and column of a problem, both from 1.
    pub fn line_column(&self, problem: &Problem) -> (usize, usize) {
        self.sources.line_column(problem.span)
    }

    /// Every problem with its excerpt, wrapped at `width` columns.
    pub fn render(&self, color: bool, width: usize) -> String {
        let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(width).with_links(false);
        let mut text = String::new();
        for problem in self.problems.iter().take(SHOWN) {
            // Writing to a string cannot fail; a source that cannot be read leaves its excerpt out.
            let _ = handler.render_report(&mut text, &Shown { problem, sources: &self.sources });
            text.push('\n');
        }
        if let Some(more) = self.problems.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            let _ = writeln!(text, "… and {more} more");
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.sources.files().first().map_or("team", |file| file.name.as_str());
        match self.problems.as_slice() {
            [] => write!(formatter, "{name} has no problems"),
            [only] => write!(formatter, "{name}: {}", only.message),
            [first, rest @ ..] => write!(formatter, "{name}: {} (and {} more)", first.message, rest.len()),
        }
    }
}

impl std::error::Error for Report {}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_ok(&self) -> bool {
        self.report.problems.is_empty()
    }

    /// The problems, with what is needed to show them.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Names of agents and functions by layer of D; empty unless the file is valid.
    pub fn layers(&self) -> &[Vec<String>] {
        &self.layers
    }

    /// The most one run can cost; zero unless the file is valid.
    pub fn worst_case(&self) -> WorstCase {
        self.worst_case
    }
}

impl Serialize for CheckReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            code: &'a str,
            message: &'a str,
            file: &'a str,
            line: usize,
            column: usize,
            help: Option<&'a str>,
        }
        let sources = &self.report.sources;
        let rows: Vec<_> = self
            .report
            .problems
            .iter()
            .map(|problem| {
                let (line, column) = sources.line_column(problem.span);
                let file = &sources.file(problem.span.file).name;
                let help = problem.help.as_deref();
                Row { code: problem.code.as_str(), message: &problem.message, file, line, column, help }
            })
            .collect();
        let mut record = serializer.serialize_struct("CheckReport", 5)?;
        record.serialize_field("file", sources.files().first().map_or("", |file| file.name.as_str()))?;
        record.serialize_field("ok", &self.is_ok())?;
        record.serialize_field("problems", &rows)?;
        record.serialize_field("layers", &self.layers)?;
        record.serialize_field("worst_case", &self.worst_case)?;
        record.end()
    }
}

/// A problem as miette wants to see it.
#[derive(Debug)]
struct Shown<'a> {
    problem: &'a Problem,
    sources: &'a Sources,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.problem.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.problem.code.as_str()))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.sources.file(self.problem.span.file))
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let file = self.sources.file(self.problem.span.file);
        let (start, len) = file.excerpt_span(self.problem.span);
        Some(Box::new(std::iter::once(LabeledSpan::new(None, start, len))))
    }
}
