//! `marft env`: what this program is and where it looks, in a form to paste into a bug report.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{Exit, Output};

/// Show the version, the libraries in use and the folders marft reads
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        let Self {} = self;
        let mut text = format!("marft {}\n", env!("CARGO_PKG_VERSION"));
        let cache =
            cache().map_or_else(|| "none: neither XDG_CACHE_HOME nor HOME is set".into(), |p| p.display().to_string());
        writeln!(text, "cache {cache}").expect("a string takes every write");
        output.text(&text)?;
        Ok(Exit::Success)
    }
}

/// The folder that `cargo xtask setup` fills: `$XDG_CACHE_HOME/marft`, else `~/.cache/marft`.
fn cache() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("marft"))
}
