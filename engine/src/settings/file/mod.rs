//! The run file: read, changed by overrides, checked as a whole, and resolved into [`RunSettings`].
//!
//! Every problem comes at once, with its place and, where a name is misspelt, the nearest known one: those of the run file,
//! of overrides on the command line, of the team file, and of what the data files lack. What would have no effect is a
//! problem too.
//!
//! ```no_run
//! use std::path::Path;
//!
//! let overrides = [("train.steps".to_owned(), "50".to_owned())];
//! match marft_engine::settings::file::load(Path::new("examples/relay/run.toml"), &overrides) {
//!     Ok(loaded) => println!("{} agents learn", loaded.settings.algorithm.len()),
//!     Err(report) => eprint!("{}", report.render(false, 100)),
//! }
//! ```

mod aliases;
mod document;
mod overrides;
mod resolve;
mod schema;
pub mod typed;

use std::path::Path;
use std::sync::Arc;

use marft_topologies::Team;
use marft_topologies::check::{Code, Problem, Report};
use marft_topologies::source::{Sources, Span};
use marft_topologies::spec::read::read_file;

pub use schema::schema;

use super::{Registry, RunSettings};

/// A run that can begin.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Everything the run is told.
    pub settings: RunSettings,
    /// The team that learns.
    pub team: Arc<Team>,
    /// What is allowed, but may not be meant.
    pub warnings: Vec<String>,
}

/// Reads a run file, with the built-in kinds of rewards and environments. `overrides` are paths of keys with values in
/// TOML, such as `("train.steps", "50")`.
///
/// # Errors
/// Every problem of the run file, the overrides, the team and the data.
pub fn load(path: &Path, overrides: &[(String, String)]) -> Result<Loaded, Report> {
    load_with(path, overrides, &Registry::default())
}

/// The same, with kinds of the program's own.
///
/// # Errors
/// Every problem of the run file, the overrides, the team and the data.
pub fn load_with(path: &Path, overrides: &[(String, String)], registry: &Registry) -> Result<Loaded, Report> {
    let name = path.display().to_string();
    match read_file(path) {
        Ok(text) => parse_with(&text, &name, overrides, registry),
        Err(fault) => {
            let mut sources = Sources::default();
            let file = sources.add(&name, "");
            let message = format!("cannot read `{name}`: {fault}");
            let problem = Problem::new(Code::Unreadable, message, Span::new(file, 0..0));
            Err(Report::new(sources, vec![problem.help("give the path of a run file")]))
        }
    }
}

/// Reads a run file that is in memory. `name` is shown, and relative paths start beside it.
///
/// # Errors
/// Every problem of the run file, the overrides, the team and the data.
pub fn parse(source: &str, name: &str, overrides: &[(String, String)]) -> Result<Loaded, Report> {
    parse_with(source, name, overrides, &Registry::default())
}

/// The same, with kinds of the program's own.
///
/// # Errors
/// Every problem of the run file, the overrides, the team and the data.
pub fn parse_with(
    source: &str,
    name: &str,
    overrides: &[(String, String)],
    registry: &Registry,
) -> Result<Loaded, Report> {
    let mut sources = Sources::default();
    let (file, mut problems) = document::read(&mut sources, source, name, overrides);
    let Some(file) = file else { return Err(Report::new(sources, problems)) };
    // a run is looked at again from other folders than the one it was begun in
    let folder = Path::new(name).parent().unwrap_or(Path::new(""));
    let folder = std::path::absolute(folder).or_else(|_| std::env::current_dir()).unwrap_or_else(|_| folder.to_owned());
    let resolved = resolve::resolve(&file, &folder, registry);
    problems.extend(resolved.problems);
    if problems.is_empty()
        && resolved.team_report.is_none()
        && let (Some(settings), Some(team)) = (resolved.settings, resolved.team)
    {
        return Ok(Loaded { settings, team, warnings: resolved.warnings });
    }
    let mut report = Report::new(sources, problems);
    if let Some(team) = resolved.team_report {
        report.absorb(team);
    }
    Err(report)
}
