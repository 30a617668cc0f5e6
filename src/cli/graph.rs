//! `marft graph`: a drawing of a team.

use std::path::PathBuf;

use marft::topologies::draw::{Picture, dot, mermaid, svg};
use miette::{IntoDiagnostic as _, WrapErr as _};

use super::{Exit, Output, team_file};

/// Draw a team as SVG, Mermaid or Graphviz dot
///
/// FILE is a path, `catalog:NAME`, or `-` for standard input. The SVG needs no other program.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The team file
    file: PathBuf,
    /// What to draw
    #[arg(long, value_enum, default_value_t = Format::Svg)]
    format: Format,
    /// Where to write it instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Graphviz
    Dot,
    /// Mermaid, for Markdown
    Mermaid,
    /// An SVG document
    Svg,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        let picture = Picture::of(&team_file::load(&self.file)?);
        let drawing = match self.format {
            Format::Dot => dot(&picture),
            Format::Mermaid => mermaid(&picture),
            Format::Svg => svg(&picture),
        };
        match &self.output {
            None => output.text(&drawing)?,
            Some(path) => std::fs::write(path, drawing)
                .into_diagnostic()
                .wrap_err_with(|| format!("could not write `{}`", path.display()))?,
        }
        Ok(Exit::Success)
    }
}
