//! `.cargo/libtorch.toml`: how plain cargo learns where libtorch lies on this machine.
//!
//! The committed `.cargo/config.toml` includes it, git ignores it. It sets `LIBTORCH` for build scripts and, for
//! doctests, which no build script reaches, the folder where the loader finds the libraries.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use fs_err as fs;
use toml::{Table, Value};

fn path(root: &Path) -> PathBuf {
    root.join(".cargo/libtorch.toml")
}

/// Makes cargo use `libtorch` in this checkout.
pub(super) fn point_at(root: &Path, libtorch: &Path) -> Result<()> {
    let folder = libtorch.to_str().context("the path of libtorch is not UTF-8, which cargo cannot read")?;
    let mut env = Table::new();
    env.insert("LIBTORCH".into(), folder.into());
    let mut build = Table::new();
    let flags = ["-C".to_owned(), format!("link-arg=-Wl,-rpath,{folder}/lib")];
    build.insert("rustdocflags".into(), flags.map(Value::from).to_vec().into());
    let tables = Table::from_iter([("env".to_owned(), env.into()), ("build".to_owned(), Value::from(build))]);
    let text = format!("# Written by `cargo xtask setup`.\n{tables}");

    let path = path(root);
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    // Renamed into place: another cargo may be reading it.
    let new = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&new, text)?;
    fs::rename(&new, &path)?;
    Ok(())
}

/// The folder that the last set-up of this checkout chose.
pub(super) fn libtorch(root: &Path) -> Option<PathBuf> {
    let table: Table = fs::read_to_string(path(root)).ok()?.parse().ok()?;
    table.get("env")?.get("LIBTORCH")?.as_str().map(PathBuf::from)
}
