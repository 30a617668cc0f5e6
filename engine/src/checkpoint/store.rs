//! The folder that holds a run's checkpoints: commit, find the newest whole one, forget the old.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{Manifest, ManifestError};

/// What a folder is called while it is being written.
const UNFINISHED: &str = ".unfinished";

/// What a folder is called that was found damaged.
const DAMAGED: &str = ".damaged";

/// The checkpoints of one run, under `<run>/checkpoints/<step>`.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    root: PathBuf,
    /// Files without which a checkpoint is not whole, as its manifest names them.
    needs: Vec<String>,
}

/// The newest checkpoint that is whole, and what had to be passed over on the way to it.
#[derive(Debug)]
pub struct Found {
    /// Its folder.
    pub folder: PathBuf,
    /// Its step.
    pub step: u64,
    /// Newer ones that are damaged, newest first.
    pub rejected: Vec<Rejected>,
}

/// A damaged checkpoint.
#[derive(Debug)]
pub struct Rejected {
    /// Its folder.
    pub folder: PathBuf,
    /// What is wrong with it.
    pub reason: ManifestError,
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.folder.display(), self.reason)
    }
}

/// Why a checkpoint was not written or not found. Nothing half-written is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The disk refused; the message names the file. Full disks come here.
    #[error("the checkpoint of step {step} was not written: {source}")]
    Write {
        /// The step.
        step: u64,
        /// What the disk said.
        source: std::io::Error,
    },
    /// What should go into the checkpoint could not be had.
    #[error("the checkpoint of step {step} was not written: {source}")]
    Content {
        /// The step.
        step: u64,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The folder of checkpoints cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The checkpoint that was asked for is damaged.
    #[error(transparent)]
    Damaged(#[from] ManifestError),
    /// Whether a checkpoint is whole cannot be known: it is left as it is.
    #[error(
        "the checkpoint in {folder} cannot be read: {reason}; hint: make it readable (a newer format needs the marft that \
         wrote it), or move that folder elsewhere to go on from the checkpoint before it"
    )]
    Unreadable {
        /// Its folder.
        folder: PathBuf,
        /// A format that is too new, or what the disk said.
        reason: ManifestError,
    },
    /// Checkpoints exist and none is whole.
    #[error(
        "none of the {} checkpoints in {root} is whole; the newest: {}; hint: put a whole copy in its place, or begin again in \
         another folder",
        rejected.len(),
        rejected[0].reason
    )]
    AllDamaged {
        /// The folder.
        root: PathBuf,
        /// Newest first; never empty.
        rejected: Vec<Rejected>,
    },
}

impl Checkpoints {
    /// The checkpoints below `root`, which is made where it is missing. What a killed process left unfinished is removed.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, CheckpointError> {
        let root = root.into();
        fs::create_dir_all(&root)?;
        for entry in fs::read_dir(&root)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == &UNFINISHED[1..]) {
                remove(&path)?;
            }
        }
        Ok(Self { root, needs: vec![] })
    }

    /// The checkpoints below `root`, to be read while another process may be writing them.
    pub fn look_at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), needs: vec![] }
    }

    /// The same, taking only those for whole that list all of these files, named relative to the checkpoint with `/`.
    #[must_use]
    pub fn needing(self, needs: Vec<String>) -> Self {
        Self { needs, ..self }
    }

    /// Writes the checkpoint of `step`: `write` puts its files into the folder it is given. A checkpoint of the same step
    /// is replaced.
    ///
    /// # Errors
    /// Whatever went wrong; the unfinished folder is removed and earlier checkpoints stand untouched.
    pub fn commit<E>(&self, step: u64, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<PathBuf, CheckpointError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let unfinished = self.root.join(format!("{step}{UNFINISHED}"));
        let outcome = self.write(step, &unfinished, write);
        if outcome.is_err() && unfinished.exists() {
            // the first error is the one to report; what cannot be removed now goes at the next start
            drop(fs::remove_dir_all(&unfinished));
        }
        outcome
    }

    fn write<E>(
        &self,
        step: u64,
        unfinished: &Path,
        write: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, CheckpointError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let refuse = |source| CheckpointError::Write { step, source };
        if unfinished.exists() {
            fs::remove_dir_all(unfinished).map_err(refuse)?;
        }
        fs::create_dir_all(unfinished).map_err(refuse)?;
        write(unfinished).map_err(|error| CheckpointError::Content { step, source: error.into() })?;
        Manifest::seal(unfinished, step).map_err(refuse)?;
        let folder = self.folder(step);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(refuse)?;
        }
        fs::rename(unfinished, &folder).map_err(refuse)?;
        fs::File::open(&self.root).and_then(|root| root.sync_all()).map_err(refuse)?;
        Ok(folder)
    }

    /// The folder of a step's checkpoint, whether it exists or not.
    pub fn folder(&self, step: u64) -> PathBuf {
        self.root.join(step.to_string())
    }

    /// Steps that have a checkpoint, rising.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn steps(&self) -> Result<Vec<u64>, CheckpointError> {
        let mut steps = vec![];
        for entry in fs::read_dir(&self.root)? {
            let name = entry?.file_name();
            let step = name.to_str().and_then(|name| name.parse().ok().filter(|step: &u64| step.to_string() == name));
            steps.extend(step);
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// The newest whole checkpoint; `None` where there is none at all.
    ///
    /// # Errors
    /// Checkpoints exist and every one is damaged; one that is newer than all whole ones cannot be read.
    pub fn latest(&self) -> Result<Option<Found>, CheckpointError> {
        self.newest(self.steps()?)
    }

    /// The newest whole one of `steps`, which rise.
    fn newest(&self, steps: Vec<u64>) -> Result<Option<Found>, CheckpointError> {
        let mut rejected = vec![];
        for step in steps.into_iter().rev() {
            let folder = self.folder(step);
            match Manifest::verify(&folder, step, &self.needs) {
                Ok(_) => return Ok(Some(Found { folder, step, rejected })),
                Err(reason) if reason.is_damage() => rejected.push(Rejected { folder, reason }),
                Err(reason) => return Err(CheckpointError::Unreadable { folder, reason }),
            }
        }
        if rejected.is_empty() {
            Ok(None)
        } else {
            Err(CheckpointError::AllDamaged { root: self.root.clone(), rejected })
        }
    }

    /// The checkpoint of `step`, if it is there and whole.
    ///
    /// # Errors
    /// It is damaged, or cannot be read.
    pub fn of(&self, step: u64) -> Result<Option<PathBuf>, CheckpointError> {
        let folder = self.folder(step);
        if !folder.is_dir() {
            return Ok(None);
        }
        match Manifest::verify(&folder, step, &self.needs) {
            Ok(_) => Ok(Some(folder)),
            Err(reason) if reason.is_damage() => Err(reason.into()),
            Err(reason) => Err(CheckpointError::Unreadable { folder, reason }),
        }
    }

    /// The newest whole checkpoint of a step before `step`; `None` where there is none at all.
    ///
    /// # Errors
    /// Checkpoints of earlier steps exist and every one is damaged; one that is newer than all whole ones cannot be read.
    pub fn before(&self, step: u64) -> Result<Option<Found>, CheckpointError> {
        self.newest(self.steps()?.into_iter().filter(|own| *own < step).collect())
    }

    /// Gives damaged checkpoints another name, under which they are neither found nor counted: one that is newer than what a
    /// run goes on from would otherwise be kept in place of what it writes next.
    ///
    /// # Errors
    /// A folder cannot be renamed.
    pub fn set_aside(&self, rejected: &[Rejected]) -> Result<(), CheckpointError> {
        for Rejected { folder, .. } in rejected {
            let mut name = folder.as_os_str().to_owned();
            name.push(DAMAGED);
            let aside = PathBuf::from(name);
            if aside.exists() {
                remove(&aside)?;
            }
            fs::rename(folder, aside)?;
        }
        Ok(())
    }

    /// Removes all but the newest `keep` checkpoints and those in `protect`.
    ///
    /// # Errors
    /// A folder cannot be removed.
    pub fn prune(&self, keep: usize, protect: &[u64]) -> Result<(), CheckpointError> {
        let steps = self.steps()?;
        for step in &steps[..steps.len().saturating_sub(keep.max(1))] {
            if !protect.contains(step) {
                fs::remove_dir_all(self.folder(*step))?;
            }
        }
        Ok(())
    }
}

/// Removes a folder with all that is in it, or a file.
fn remove(path: &Path) -> std::io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn save(store: &Checkpoints, step: u64) {
        store
            .commit(step, |folder| {
                fs::create_dir(folder.join("actor"))?;
                fs::write(folder.join("actor/adapter_model.safetensors"), format!("weights {step}"))?;
                fs::write(folder.join("state.json"), "{}")
            })
            .unwrap();
    }

    fn store() -> (tempfile::TempDir, Checkpoints) {
        let folder = tempfile::tempdir().unwrap();
        let store = Checkpoints::open(folder.path().join("checkpoints")).unwrap();
        (folder, store)
    }

    #[test]
    fn the_newest_whole_one_is_found() {
        let (_keep, store) = store();
        assert!(store.latest().unwrap().is_none());
        for step in [2, 10, 4] {
            save(&store, step);
        }
        let found = store.latest().unwrap().unwrap();
        assert_eq!((found.step, found.rejected.len()), (10, 0));
        assert_eq!(fs::read_to_string(found.folder.join("actor/adapter_model.safetensors")).unwrap(), "weights 10");
    }

    #[test]
    fn damage_of_any_kind_falls_back_to_the_one_before() {
        let weights = "actor/adapter_model.safetensors";
        let damages: [(&str, fn(&Path)); 5] = [
            ("bytes", |f| fs::write(f.join("actor/adapter_model.safetensors"), "weig").unwrap()),
            ("SHA-256", |f| fs::write(f.join("actor/adapter_model.safetensors"), "weights 7").unwrap()),
            (weights, |f| fs::remove_file(f.join("actor/adapter_model.safetensors")).unwrap()),
            ("manifest.json", |f| fs::remove_file(f.join("manifest.json")).unwrap()),
            ("damaged", |f| fs::write(f.join("manifest.json"), "{\"format\": 1").unwrap()),
        ];
        for (says, damage) in damages {
            let (_keep, store) = store();
            save(&store, 1);
            save(&store, 2);
            damage(&store.folder(2));
            let found = store.latest().unwrap().unwrap();
            assert_eq!(found.step, 1);
            assert!(found.rejected[0].reason.to_string().contains(says), "{}", found.rejected[0].reason);
            damage(&store.folder(1));
            assert!(matches!(store.latest(), Err(CheckpointError::AllDamaged { .. })));
        }
    }

    #[test]
    fn a_damaged_one_set_aside_does_not_crowd_out_what_comes_next() {
        let (_keep, store) = store();
        save(&store, 1);
        save(&store, 4);
        fs::write(store.folder(4).join("state.json"), "[]").unwrap();
        let found = store.latest().unwrap().unwrap();
        assert_eq!((found.step, found.rejected.len()), (1, 1));
        store.set_aside(&found.rejected).unwrap();
        save(&store, 2);
        store.prune(1, &[]).unwrap();
        assert_eq!(store.latest().unwrap().unwrap().step, 2);
        assert!(store.root.join("4.damaged/state.json").is_file());
    }

    #[test]
    fn single_ones_are_checked_too() {
        let (_keep, store) = store();
        (1..=3).for_each(|step| save(&store, step));
        assert_eq!(store.of(2).unwrap(), Some(store.folder(2)));
        assert!(store.of(7).unwrap().is_none() && store.before(1).unwrap().is_none());
        fs::write(store.folder(2).join("state.json"), "[]").unwrap();
        assert!(matches!(store.of(2), Err(CheckpointError::Damaged(ManifestError::Hash { .. }))));
        let found = store.before(3).unwrap().unwrap();
        assert_eq!((found.step, found.rejected.len()), (1, 1));
    }

    #[test]
    fn a_checkpoint_under_another_step_or_without_what_is_needed_is_damaged() {
        let (_keep, store) = store();
        save(&store, 1);
        save(&store, 2);
        let copy = store.folder(7);
        fs::create_dir_all(copy.join("actor")).unwrap();
        for name in ["actor/adapter_model.safetensors", "state.json", "manifest.json"] {
            fs::copy(store.folder(2).join(name), copy.join(name)).unwrap();
        }
        let found = store.latest().unwrap().unwrap();
        assert_eq!((found.step, found.rejected.len()), (2, 1));
        assert!(matches!(found.rejected[0].reason, ManifestError::Step { found: 2, folder: 7, .. }));
        store.set_aside(&found.rejected).unwrap();

        let needing = store.clone().needing(vec!["state.json".to_owned()]);
        assert_eq!(needing.latest().unwrap().unwrap().step, 2);
        fs::remove_file(store.folder(2).join("state.json")).unwrap();
        fs::write(store.folder(2).join("manifest.json"), r#"{"format": 1, "step": 2, "files": {}}"#).unwrap();
        let found = needing.latest().unwrap().unwrap();
        assert_eq!(found.step, 1);
        assert!(found.rejected[0].reason.to_string().contains("does not list `state.json`"));
    }

    #[test]
    fn what_cannot_be_read_is_no_damage_and_stays_where_it_is() {
        let (_keep, store) = store();
        save(&store, 1);
        save(&store, 2);
        let path = store.folder(2).join("manifest.json");
        let newer = fs::read_to_string(&path).unwrap().replacen("\"format\": 1", "\"format\": 2", 1);
        fs::write(&path, newer).unwrap();
        for refused in [store.latest().map(drop), store.of(2).map(drop), store.before(3).map(drop)] {
            let told = refused.unwrap_err().to_string();
            assert!(told.contains("has format 2") && told.contains("; hint: "), "{told}");
        }
        assert_eq!(store.steps().unwrap(), [1, 2]);
        for (kind, damage) in [
            (io::ErrorKind::PermissionDenied, false),
            (io::ErrorKind::StaleNetworkFileHandle, false),
            (io::ErrorKind::NotFound, true),
        ] {
            assert_eq!(ManifestError::Io(kind.into()).is_damage(), damage, "{kind}");
        }
    }

    #[test]
    fn only_folders_that_are_named_as_steps_are_written_count() {
        let (_keep, store) = store();
        save(&store, 3);
        fs::create_dir(store.root.join("007")).unwrap();
        fs::create_dir(store.root.join("+8")).unwrap();
        assert_eq!(store.steps().unwrap(), [3]);
    }

    #[test]
    fn a_failing_writer_leaves_nothing_and_harms_nothing() {
        let (_keep, store) = store();
        save(&store, 1);
        let full = |folder: &Path| {
            fs::write(folder.join("half"), "x")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        assert!(matches!(store.commit(2, full), Err(CheckpointError::Content { step: 2, .. })));
        assert_eq!(store.steps().unwrap(), [1]);
        assert_eq!(fs::read_dir(&store.root).unwrap().count(), 1);
    }

    #[test]
    fn leftovers_of_a_killed_process_are_removed_and_never_taken_for_checkpoints() {
        let (_keep, store) = store();
        save(&store, 1);
        fs::create_dir(store.root.join("2.unfinished")).unwrap();
        fs::write(store.root.join("2.unfinished/state.json"), "{}").unwrap();
        assert_eq!(store.latest().unwrap().unwrap().step, 1);
        fs::write(store.root.join("3.unfinished"), "in the way").unwrap();
        let again = Checkpoints::open(store.root.clone()).unwrap();
        assert!(!again.root.join("2.unfinished").exists() && !again.root.join("3.unfinished").exists());
    }

    #[test]
    fn a_manifest_cannot_point_outside() {
        let (_keep, store) = store();
        save(&store, 1);
        let path = store.folder(1).join("manifest.json");
        let text = fs::read_to_string(&path).unwrap().replace("state.json", "../../secret");
        fs::write(&path, text).unwrap();
        assert!(matches!(store.latest(), Err(CheckpointError::AllDamaged { .. })));
    }

    #[test]
    fn pruning_keeps_the_newest_and_the_protected() {
        let (_keep, store) = store();
        (1..=6).for_each(|step| save(&store, step));
        store.prune(2, &[3]).unwrap();
        assert_eq!(store.steps().unwrap(), [3, 5, 6]);
        store.prune(0, &[]).unwrap();
        assert_eq!(store.steps().unwrap(), [6]);
    }
}
