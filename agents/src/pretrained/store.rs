//! The user's cache of models: `$XDG_CACHE_HOME/marft/models`, else `~/.cache/marft/models`.
//!
//! A model is a folder with a `.complete` file, written last; a folder without one is an install that was killed.

use std::path::{Path, PathBuf};

use super::error::PretrainedError;

/// Written last into a model's folder.
pub(super) const COMPLETE: &str = ".complete";

/// A folder of models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    root: PathBuf,
}

/// A model in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Bytes of its files.
    pub bytes: u64,
}

impl Store {
    /// The user's own store.
    pub fn user() -> Result<Self, PretrainedError> {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
        Ok(Self::at(&base.ok_or(PretrainedError::NoCache)?.join("marft/models")))
    }

    /// A store in `root`.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder of the model `name`, there or not. Hub ids keep their organisation: `org--name`.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name.replace('/', "--"))
    }

    /// The folder of the model `name`, if it is whole.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        let folder = self.folder(name);
        folder.join(COMPLETE).is_file().then_some(folder)
    }

    /// Every whole model, by name.
    pub fn list(&self) -> std::io::Result<Vec<Installed>> {
        let mut models = Vec::new();
        if !self.root.exists() {
            return Ok(models);
        }
        for entry in fs_err::read_dir(&self.root)? {
            let folder = entry?.path();
            let stored = folder.file_name().unwrap_or_default().to_string_lossy().replacen("--", "/", 1);
            if folder.join(COMPLETE).is_file() {
                models.push(Installed { name: stored, bytes: size(&folder)?, folder });
            }
        }
        models.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(models)
    }
}

/// Bytes of the files in `folder`.
fn size(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        bytes += fs_err::metadata(entry.path())?.len();
    }
    Ok(bytes)
}
