//! A wheel of the Python package index, pinned by name, size and hash, and how it is unpacked.
//!
//! A wheel is a zip file. Only the members wanted are written: the Python half of torch is of no use here.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use fs_err as fs;
use fs_err::File;
use sha2::{Digest as _, Sha256};

use super::progress::Progress;
use crate::voice::Hinted;

/// One file of the index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wheel {
    /// File name: `name-version-python-abi-platforms.whl`.
    pub(super) file: &'static str,
    /// SHA-256 of the file, in hexadecimal.
    pub(super) sha256: &'static str,
}

impl Wheel {
    /// What to ask pip for: `name==version`.
    pub(super) fn requirement(&self) -> String {
        let mut parts = self.file.split('-');
        let (name, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        format!("{}=={version}", name.replace('_', "-"))
    }

    /// The platform tags in the file name, which pip must be told to accept: `any`, or one or several `manylinux…`.
    pub(super) fn platforms(&self) -> impl Iterator<Item = &'static str> {
        let tags = self.file.strip_suffix(".whl").and_then(|name| name.rsplit('-').next()).unwrap_or_default();
        tags.split('.').filter(|&tag| tag != "any")
    }

    /// Checks the hash of the copy in `folder`.
    pub(super) fn verify(&self, folder: &Path, progress: &Progress) -> Result<()> {
        let path = folder.join(self.file);
        let found = sha256(&path, progress).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                let fetched = names(folder).join(", ");
                anyhow::Error::new(Hinted::new(
                    format!("pip did not fetch {} (but: {fetched})", self.file),
                    "your pip configuration names an index that serves other files; this one must come from pypi.org or a mirror of it",
                ))
            } else {
                error.into()
            }
        })?;
        ensure!(
            found == self.sha256,
            Hinted::new(
                format!("{} has SHA-256 {found}, expected {}", self.file, self.sha256),
                "the download was damaged or the index serves another file: run the command again, and check `python3 -m pip config list` if it persists",
            )
        );
        Ok(())
    }

    /// Writes the members that `keep` gives a place to under `into`.
    pub(super) fn unpack(
        &self,
        folder: &Path,
        into: &Path,
        keep: fn(&Path) -> Option<PathBuf>,
        progress: &Progress,
    ) -> Result<()> {
        let mut archive = zip::ZipArchive::new(File::open(folder.join(self.file))?)
            .with_context(|| format!("{} is not a wheel", self.file))?;
        for index in 0..archive.len() {
            let mut member = archive.by_index(index).with_context(|| format!("{} is damaged", self.file))?;
            // `enclosed_name` refuses names that would leave the folder.
            let Some(place) = member.enclosed_name().and_then(keep).filter(|_| member.is_file()) else { continue };
            let path = into.join(place);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = File::create(&path)?;
            copy(&mut member, &mut file, progress)?;
        }
        Ok(())
    }
}

/// SHA-256 of a file, in hexadecimal.
pub(super) fn sha256(path: &Path, progress: &Progress) -> std::io::Result<String> {
    use std::fmt::Write as _;
    let mut hash = Sha256::new();
    copy(&mut File::open(path)?, &mut hash, progress)?;
    Ok(hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every write");
        text
    }))
}

fn copy(from: &mut impl Read, to: &mut impl Write, progress: &Progress) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read])?;
        progress.advance(read as u64);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
