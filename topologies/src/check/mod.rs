//! The checker: reports every problem of a file at once, one family of diagnostics per file.
//!
//! Problems of spelling and value are found while a file is read and lowered; the families here look at the expanded
//! graph. All of them take time linear in nodes and edges and recurse over nothing that a file can make deep.

mod budgets;
mod code;
mod cycles;
mod ends;
mod excerpt;
mod expressions;
pub mod names;
mod policies;
mod ports;
mod problem;
mod reach;
mod report;
mod scopes;
mod templates;
mod training;
mod variables;
mod visible;
mod window;

use std::path::Path;

pub use code::Code;
pub use problem::Problem;
pub use report::{CheckReport, Report};

use crate::lower::{self, Loader};
use crate::source::{Sources, Span};
use crate::team::Team;
use crate::worst_case::{WorstCase, worst_case};

/// Checks a team file that is in memory. `name` is shown, and relative `use` paths start beside it.
pub fn check(source: &str, name: &str) -> CheckReport {
    match build(source, name) {
        Ok((team, sources)) => {
            let name = |node: &crate::team::NodeId| team.node(*node).name.clone();
            CheckReport {
                report: Report { sources, problems: Vec::new() },
                layers: crate::dependency::layers(&team).iter().map(|layer| layer.iter().map(name).collect()).collect(),
                worst_case: team.worst_case(),
            }
        }
        Err(report) => CheckReport { report, layers: Vec::new(), worst_case: WorstCase::default() },
    }
}

/// Checks a team file on disk.
pub fn check_file(path: &Path) -> CheckReport {
    match read(path) {
        Ok(text) => check(&text, &path.display().to_string()),
        Err(report) => CheckReport { report, layers: Vec::new(), worst_case: WorstCase::default() },
    }
}

impl Team {
    /// Reads and checks a team file that is in memory.
    pub fn parse(source: &str, name: &str) -> Result<Self, Report> {
        build(source, name).map(|(team, _)| team)
    }

    /// Reads and checks a team file on disk, or `catalog:NAME`.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Report> {
        Self::load_with_sources(path).map(|(team, _)| team)
    }

    /// The same, with the files that it was read from: what is found wrong with it later can be shown in them.
    pub fn load_with_sources(path: impl AsRef<Path>) -> Result<(Self, Sources), Report> {
        let path = path.as_ref();
        let text = read(path)?;
        build(&text, &path.display().to_string())
    }
}

fn read(path: &Path) -> Result<String, Report> {
    let name = path.display().to_string();
    let fail = |code, message: String, help: &str| {
        let mut loader = Loader::default();
        let file = loader.sources.add(&name, "");
        Report {
            sources: loader.sources,
            problems: vec![Problem::new(code, message, Span::new(file, 0..0)).help(help)],
        }
    };
    if let Some(entry) = name.strip_prefix("catalog:") {
        let text = crate::catalog::source(entry).map(str::to_owned);
        let message = format!("the catalog has no team `{entry}`");
        return text.ok_or_else(|| fail(Code::DanglingReference, message, "`marft catalog` lists what there is"));
    }
    crate::spec::read::read_file(path).map_err(|fault| {
        fail(
            Code::Unreadable,
            format!("cannot read `{name}`: {fault}"),
            "give the path of a team file, or `catalog:NAME`",
        )
    })
}

fn build(source: &str, name: &str) -> Result<(Team, Sources), Report> {
    let mut loader = Loader::default();
    let (file, spec, mut problems) = if crate::profiles::looks_like_profiles(source) {
        loader.parse_profiles(name, source)
    } else {
        loader.parse(name, source)
    };
    let mut built = None;
    if let Some(spec) = spec {
        let (mut team, found) = lower::lower(&spec, Span::new(file, 0..0), &mut loader);
        // A team whose members could not be read is not empty.
        let unread = !problems.is_empty();
        problems.extend(found.into_iter().filter(|problem| !unread || problem.code != Code::EmptyTeam));
        problems.extend(inspect(&mut team));
        built = Some(team);
    }
    match built {
        Some(team) if problems.is_empty() => Ok((team, loader.sources)),
        // Replicas and copies of a team repeat a problem; the report says it once.
        _ => Err(Report::new(loader.sources, problems)),
    }
}

/// Runs every family over an expanded team.
fn inspect(team: &mut Team) -> Vec<Problem> {
    let mut problems = Vec::new();
    cycles::check(team, &mut problems);
    reach::check(team, &mut problems);
    ends::check(team, &mut problems);
    ports::check(team, &mut problems);
    let spaces = scopes::Spaces::new(team);
    expressions::check(team, &spaces, &mut problems);
    templates::check(team, &spaces, &mut problems);
    variables::check(team, &mut problems);
    visible::check(team, &mut problems);
    training::check(team, &mut problems);
    policies::check(team, &mut problems);
    window::check(team, &mut problems);
    team.worst_case = worst_case(team);
    budgets::check(team, &mut problems);
    problems
}
