//! Team files as commands name them: a path, `catalog:NAME`, or `-` for standard input.

use std::io::Read as _;
use std::path::Path;

use marft::topologies::Team;
use miette::{IntoDiagnostic as _, WrapErr as _};

/// The name of standard input.
pub(super) const STDIN: &str = "-";
/// Most bytes read from standard input: one more than a team file may have, so that the checker refuses the rest.
const MAX_BYTES: u64 = (64 << 20) + 1;

/// Standard input as text.
pub(super) fn stdin() -> miette::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_BYTES)
        .read_to_string(&mut text)
        .into_diagnostic()
        .wrap_err("could not read a team file from standard input")?;
    Ok(text)
}

/// Reads a team that must be valid.
pub(super) fn load(file: &Path) -> miette::Result<Team> {
    let team = if file == Path::new(STDIN) { Team::parse(&stdin()?, "<stdin>") } else { Team::load(file) };
    team.map_err(|report| {
        let help = format!("`marft check {}` shows every problem with its place", file.display());
        miette::miette!(help = help, "{report}")
    })
}
