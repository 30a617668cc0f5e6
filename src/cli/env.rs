//! `marft env`: what this program is, what it runs on and where it looks, in a form to paste into a bug report.

use std::fmt::Write as _;
use std::path::PathBuf;

use marft::torch::runtime;

use super::{Exit, Output};

/// Show the versions, the devices in use and the folders marft reads
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        let Self {} = self;
        let cuda = match runtime::load_cuda() {
            Ok(true) => "yes".to_owned(),
            Ok(false) => format!("no: {}", runtime::load_cuda_reason()),
            Err(error) => format!("no: {error}"),
        };
        let (cache, model) = match cache() {
            Some(cache) => {
                let model = cache.join("models/smollm2-135m-instruct");
                let there = model.join(".complete").is_file();
                let model =
                    if there { model.display().to_string() } else { "none: run `cargo xtask setup`".to_owned() };
                (cache.display().to_string(), model)
            }
            None => ("none: neither XDG_CACHE_HOME nor HOME is set".to_owned(), "none".to_owned()),
        };
        let mut text = String::new();
        for (name, value) in [
            ("marft", env!("CARGO_PKG_VERSION").to_owned()),
            ("libtorch", runtime::torch_version().to_owned()),
            ("threads", runtime::threads().to_string()),
            ("cuda", cuda),
            ("cache", cache),
            ("default model", model),
        ] {
            writeln!(text, "{name:<14} {value}").expect("a string takes every write");
        }
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
