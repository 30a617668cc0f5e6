//! `cargo xtask ci`: what a change must pass, from set-up to documentation.
//!
//! One failure does not hide the next: every step runs, and the last lines say which failed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::run::{cargo, doctests, has, run, unit_and_integration_tests};
use crate::tidy;
use crate::voice::say;

/// Runs every step. `prepare` sets up what the others need, without which none can run, and tells where Python packages for
/// tests lie.
pub(crate) fn ci(root: &Path, prepare: impl FnOnce() -> Result<Option<PathBuf>>) -> Result<()> {
    let readers = prepare()?;
    let mut report = Report::default();
    report.step("fmt", || run(cargo(root, ["fmt", "--all", "--", "--check"])));
    report.step("tidy", || tidy::tidy(root));
    report.step("clippy", || {
        run(cargo(root, ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
    });
    // These two are what `cargo xtask test` runs, the command that README gives.
    report.step("tests", || unit_and_integration_tests(root, readers.as_deref()));
    report.step("doctests", || doctests(root));
    report.step("doc", || run(documentation(root)));
    if has(root, "deny") {
        // Not the advisories: they come over the network, and a change cannot help what was published since.
        report.step("deny", || {
            run(cargo(root, ["deny", "--offline", "--workspace", "check", "bans", "licenses", "sources"]))
        });
    } else {
        report.skip("deny", "cargo-deny is not installed; `cargo xtask audit` installs and runs it");
    }
    report.end()
}

fn documentation(root: &Path) -> Command {
    let mut command = cargo(root, ["doc", "--workspace", "--no-deps", "--locked"]);
    // This replaces the flags in `.cargo/libtorch.toml`, which only doctests need.
    command.env("RUSTDOCFLAGS", "-D warnings");
    command
}

/// What came of each step, and how long it took.
#[derive(Debug, Default)]
struct Report {
    lines: Vec<String>,
    failed: Vec<&'static str>,
}

impl Report {
    fn step(&mut self, name: &'static str, step: impl FnOnce() -> Result<()>) {
        let start = Instant::now();
        let result = step();
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        self.lines.push(format!("{name:>10}  {word:<6} {:>5} s", start.elapsed().as_secs()));
        if let Err(error) = result {
            crate::voice::error(&error);
            self.failed.push(name);
        }
    }

    fn skip(&mut self, name: &str, why: &str) {
        self.lines.push(format!("{name:>10}  not run: {why}"));
    }

    fn end(self) -> Result<()> {
        for line in &self.lines {
            say(line);
        }
        if !self.failed.is_empty() {
            bail!("failed: {}", self.failed.join(", "));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn a_failed_step_fails_the_whole_and_the_next_still_runs() {
        let mut report = Report::default();
        report.step("first", || anyhow::bail!("no"));
        let mut ran = false;
        report.step("second", || {
            ran = true;
            Ok(())
        });
        report.skip("third", "not here");
        assert!(ran);
        assert_eq!(report.end().unwrap_err().to_string(), "failed: first");
    }

    #[test]
    fn steps_that_pass_and_steps_left_out_pass() {
        let mut report = Report::default();
        report.step("first", || Ok(()));
        report.skip("second", "not here");
        assert!(report.end().is_ok());
    }
}
