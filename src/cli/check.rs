//! `marft check`: whether team files mean something, before anything runs.

use std::path::{Path, PathBuf};

use marft::topologies::check::{CheckReport, check_file};
use miette::{IntoDiagnostic as _, WrapErr as _};

use super::team_file::{self, STDIN};
use super::{Exit, Output};

/// Check team files and report all problems at once
///
/// A FILE is a path, `catalog:NAME`, or `-` for standard input. With `--format json` every file gives one line: an
/// object with `file`, `ok`, `problems`, `layers` and `worst_case`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The team files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to answer
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// How to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Human,
    /// One JSON object per file and line
    Json,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        let Self { files, format } = self;
        let mut exit = Exit::Success;
        for file in &files {
            let found = check_one(file)?;
            if !found.is_ok() {
                exit = Exit::Problems;
            }
            match format {
                Format::Human => output.text(&human(&found, output.color()))?,
                Format::Json => {
                    let line =
                        serde_json::to_string(&found).into_diagnostic().wrap_err("could not write the report")?;
                    output.text(&(line + "\n"))?;
                }
            }
        }
        Ok(exit)
    }
}

fn check_one(file: &Path) -> miette::Result<CheckReport> {
    if file == Path::new(STDIN) {
        return Ok(marft::topologies::check::check(&team_file::stdin()?, "<stdin>"));
    }
    Ok(check_file(file))
}

fn human(found: &CheckReport, color: bool) -> String {
    let name = found.report().sources().files().first().map_or("team", |file| file.name.as_str());
    if !found.is_ok() {
        let count = found.report().problems().len();
        let plural = if count == 1 { "" } else { "s" };
        return format!("{}{name}: {count} problem{plural}\n", found.report().render(color, 100));
    }
    let worst = found.worst_case();
    let mut text = format!("{name}: ok, at most {} calls and {} tokens\n", worst.calls, worst.tokens);
    for (at, layer) in found.layers().iter().enumerate() {
        let mark = if at == 0 { "layers" } else { "" };
        text += &format!("  {mark:<7} {}\n", layer.join("  "));
    }
    text
}
