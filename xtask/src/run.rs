//! Cargo and its companions as child processes, each command said before it runs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::voice::{Hinted, say};

/// The checkout: cargo says at run time where the package lies, and at build time where it lay.
pub(crate) fn root() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let package = PathBuf::from(package);
    let root = package.parent().context("xtask lies in a workspace")?;
    ensure!(
        root.join("Cargo.lock").is_file(),
        Hinted::new(
            format!("the checkout is no longer at {}", root.display()),
            "run `cargo xtask` inside a checkout, so that it is built anew",
        )
    );
    Ok(root.to_owned())
}

/// `cargo ARGS…` in the checkout.
pub(crate) fn cargo<A: AsRef<OsStr>>(root: &Path, args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(args);
    // Set for us by the cargo that started us, from before set-up may have changed it: let the next one read it afresh.
    command.env_remove("LIBTORCH");
    command
}

/// Runs a command to its end; failing is an error.
pub(crate) fn run(mut command: Command) -> Result<()> {
    say(format_args!("$ {}", shown(&command)));
    let status = command.status().with_context(|| format!("could not start {}", shown(&command)))?;
    ensure!(status.success(), "`{}` failed ({status})", shown(&command));
    Ok(())
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Whether `cargo NAME` is installed.
pub(crate) fn has(root: &Path, name: &str) -> bool {
    let mut command = cargo(root, [name, "--version"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Tests are many small ones: a pool of threads in each would only make them wait for one another.
fn one_thread_each(mut command: Command) -> Command {
    command.env("OMP_NUM_THREADS", "1");
    command
}

/// All tests but doctests. `readers` are Python packages that some of them read files back with; a `PYTHONPATH` or an
/// interpreter for tests that the user has set stands before them.
pub(crate) fn unit_and_integration_tests(root: &Path, readers: Option<&Path>) -> Result<()> {
    let nextest = has(root, "nextest");
    let mut command = if nextest {
        cargo(root, ["nextest", "run", "--workspace", "--locked"])
    } else {
        say("cargo-nextest is not installed: running `cargo test`, which is slower");
        cargo(root, ["test", "--workspace", "--locked", "--lib", "--bins", "--tests"])
    };
    let own = ["PYTHONPATH", "MARFT_TEST_PYTHON"].iter().any(|name| std::env::var_os(name).is_some());
    if let Some(readers) = readers.filter(|_| !own) {
        command.env("PYTHONPATH", readers);
    }
    run(one_thread_each(command))
}

/// The examples in the documentation.
pub(crate) fn doctests(root: &Path) -> Result<()> {
    run(one_thread_each(cargo(root, ["test", "--workspace", "--locked", "--doc"])))
}

/// `cargo xtask test`
pub(crate) fn test(root: &Path, readers: Option<&Path>) -> Result<()> {
    unit_and_integration_tests(root, readers)?;
    doctests(root)
}

/// `cargo xtask audit`
pub(crate) fn audit(root: &Path) -> Result<()> {
    install(root, "deny", "cargo-deny")?;
    run(cargo(root, ["deny", "--workspace", "check"]))?;
    if Command::new("typos").arg("--version").stdout(Stdio::null()).status().is_err() {
        run(cargo(root, ["install", "--locked", "typos-cli"]))?;
    }
    let mut typos = Command::new("typos");
    typos.current_dir(root);
    run(typos)
}

/// `cargo xtask fuzz`: every target of every `fuzz` folder, for a bounded time each.
pub(crate) fn fuzz(root: &Path, seconds: u32) -> Result<()> {
    let targets = fuzz_targets(root)?;
    ensure!(!targets.is_empty(), "there is no fuzz target in */fuzz/fuzz_targets");
    install(root, "fuzz", "cargo-fuzz")?;
    for (folder, target) in targets {
        let time = format!("-max_total_time={seconds}");
        let mut command = cargo(root, ["fuzz", "run", &target, "--", &time, "-timeout=10", "-rss_limit_mb=2048"]);
        // cargo-fuzz asks for sanitizers, which the compiler keeps for nightly; this lets the stable one do it.
        command.current_dir(folder).env("RUSTC_BOOTSTRAP", "1");
        run(command)?;
    }
    Ok(())
}

/// Every `CRATE/fuzz/fuzz_targets/NAME.rs`, as its crate's folder and its name.
fn fuzz_targets(root: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut targets = Vec::new();
    for package in fs_err::read_dir(root)? {
        let package = package?.path();
        let Ok(files) = std::fs::read_dir(package.join("fuzz/fuzz_targets")) else { continue };
        for file in files {
            let file = file?.path();
            if let (Some("rs"), Some(name)) =
                (file.extension().and_then(OsStr::to_str), file.file_stem().and_then(OsStr::to_str))
            {
                targets.push((package.clone(), name.to_owned()));
            }
        }
    }
    targets.sort();
    Ok(targets)
}

fn install(root: &Path, name: &str, package: &str) -> Result<()> {
    if has(root, name) {
        return Ok(());
    }
    say(format_args!("{package} is not installed: building it, which takes some minutes"));
    run(cargo(root, ["install", "--locked", package]))
}

#[cfg(test)]
mod tests {
    use super::{cargo, fuzz_targets, has, root, run, shown};

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = cargo(&root().unwrap(), ["test", "--doc"]);
        command.env("OMP_NUM_THREADS", "1");
        assert_eq!(shown(&command), "cargo test --doc");
    }

    #[test]
    fn what_fails_is_an_error_and_what_is_not_installed_is_not_there() {
        let root = root().unwrap();
        let error = run(cargo(&root, ["no-such-command"])).unwrap_err().to_string();
        assert!(error.starts_with("`cargo no-such-command` failed"), "{error}");
        assert!(!has(&root, "no-such-command") && has(&root, "fmt"));
    }

    #[test]
    fn fuzz_targets_are_found_in_every_crate() {
        let root = tempfile::tempdir().unwrap();
        for (package, file) in [("b", "team.rs"), ("a", "run.rs"), ("a", "notes.md")] {
            let folder = root.path().join(package).join("fuzz/fuzz_targets");
            fs_err::create_dir_all(&folder).unwrap();
            fs_err::write(folder.join(file), "").unwrap();
        }
        let found = fuzz_targets(root.path()).unwrap();
        let found: Vec<_> = found.iter().map(|(folder, name)| (folder.file_name().unwrap(), name.as_str())).collect();
        assert_eq!(found, [("a".as_ref(), "run"), ("b".as_ref(), "team")]);
    }
}
