//! `cargo xtask demo`: a team of two language models learns to work together, on this machine's processor, in minutes.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::run::{cargo, run};
use crate::voice::say;

/// Checks and draws the team, trains it, and shows the team before and after.
pub(crate) fn demo(root: &Path) -> Result<()> {
    let folder = root.join("target").join("demo");
    if folder.exists() {
        fs_err::remove_dir_all(&folder).context("the last demo cannot be removed")?;
    }
    fs_err::create_dir_all(&folder)?;
    let at = |name: &str| folder.join(name).display().to_string();
    let (team, trained) = ("examples/relay/team.toml", at("run"));
    marft(root, &["env"])?;
    marft(root, &["model", "pull", "smollm2-135m-instruct"])?;
    marft(root, &["check", team])?;
    marft(root, &["graph", team, "--format", "mermaid"])?;
    marft(root, &["graph", team, "--format", "svg", "--output", &at("team.svg")])?;
    marft(root, &["train", "examples/relay/demo.toml", "--out", &trained])?;
    marft(root, &["report", &trained, "--show", "4", "--svg", &at("curve.svg")])?;
    say(format_args!("team: {}", at("team.svg")));
    Ok(())
}

fn marft(root: &Path, args: &[&str]) -> Result<()> {
    let mut command = cargo(root, ["run", "--quiet", "--locked", "--package", "marft", "--"].iter().chain(args));
    // threads that spin while they wait cost a small machine more than they save
    command.env("OMP_WAIT_POLICY", "passive");
    run(command)
}
