//! Python packages that tests read our files back with: event files as TensorBoard reads them.
//!
//! They lie in a folder of the cache of their own, there whole or not at all, and are shown to the tests by `PYTHONPATH`;
//! no environment of the user's is touched. Without them those tests say that they check nothing.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use fs_err as fs;

use super::Machine;
use crate::voice::say;

const PACKAGES: &[&str] = &["tensorboard==2.21.0"];

/// The folder with the packages; `None`, with a line that says why, where Python or the index is out of reach.
pub(crate) fn readers(machine: &Machine) -> Option<PathBuf> {
    match install(machine) {
        Ok(folder) => Some(folder),
        Err(error) => {
            say(format_args!("event files are not read back by TensorBoard in these tests: {error:#}"));
            None
        }
    }
}

fn install(machine: &Machine) -> Result<PathBuf> {
    let version = "import sys; print('%d.%d' % sys.version_info[:2])";
    let version = python(machine, &["-c", version]).context("python3 cannot be run")?;
    let place = machine.cache.join(format!("readers-{}-python-{}", PACKAGES.join("-"), version.trim()));
    if place.is_dir() {
        return Ok(place);
    }
    fs::create_dir_all(&machine.cache)?;
    let work = machine.cache.join(format!("readers-{}.tmp", std::process::id()));
    say(format_args!("Fetching {} for tests", PACKAGES.join(", ")));
    let folder = work.display().to_string();
    let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"];
    let wheels = ["--root-user-action=ignore", "--only-binary=:all:", "--target", &folder];
    let made = python(machine, &[&quiet[..], &wheels, PACKAGES].concat());
    // another set-up may have been faster: its folder is as good
    let placed = made.and_then(|_| {
        fs::rename(&work, &place).or_else(|error| if place.is_dir() { Ok(()) } else { Err(error.into()) })
    });
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    placed.map(|()| place)
}

/// What Python prints.
fn python(machine: &Machine, args: &[&str]) -> Result<String> {
    let mut command = Command::new("python3");
    let ran = command.args(args).env("PATH", &machine.path).stdin(Stdio::null()).output()?;
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it said nothing");
        bail!("{}", last.strip_prefix("ERROR: ").unwrap_or(last));
    }
    Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A machine whose `python3` is this script of the shell.
    fn machine(script: &str) -> (tempfile::TempDir, Machine) {
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python3");
        fs::write(&python, format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::join_paths([folder.path(), "/bin".as_ref(), "/usr/bin".as_ref()]).unwrap();
        let (root, cache) = (folder.path().to_owned(), folder.path().join("cache"));
        let machine = Machine { root, cache, path, libtorch: None, platform: ("linux", "x86_64") };
        (folder, machine)
    }

    #[test]
    fn packages_are_fetched_once_into_a_folder_of_their_own() {
        let (home, machine) = machine(
            "case $1 in -c) echo 3.12; exit;; esac\n\
             echo \"$*\" >> \"$(dirname \"$0\")/calls\"\n\
             while [ \"$1\" != --target ]; do shift; done; mkdir \"$2\"; echo read > \"$2/reader.py\"",
        );
        let folder = readers(&machine).unwrap();
        assert!(folder.ends_with("readers-tensorboard==2.21.0-python-3.12") && folder.join("reader.py").is_file());
        assert_eq!(readers(&machine), Some(folder));
        let calls = fs::read_to_string(home.path().join("calls")).unwrap();
        assert!(calls.lines().count() == 1 && calls.trim_end().ends_with("tensorboard==2.21.0"), "{calls}");
    }

    #[test]
    fn an_index_out_of_reach_leaves_nothing_behind() {
        let (_home, machine) = machine(
            "case $1 in -c) echo 3.12; exit;; esac\n\
             while [ \"$1\" != --target ]; do shift; done; mkdir \"$2\"; echo 'ERROR: no route' >&2; exit 1",
        );
        assert_eq!(readers(&machine), None);
        assert_eq!(install(&machine).unwrap_err().to_string(), "no route");
        assert_eq!(fs::read_dir(&machine.cache).unwrap().count(), 0);
    }
}
