//! A file of weights, read by position.
//!
//! Not mapped into memory: a map of a file that somebody truncates later kills the process with a signal, a read returns
//! an error. Only the tensor being placed is in memory, and every length is checked against the file before memory for it
//! is asked for.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::error::ModelError;

/// An open file and its length when it was opened.
#[derive(Debug)]
pub(crate) struct WeightFile {
    path: PathBuf,
    file: File,
    length: u64,
}

impl WeightFile {
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let file = File::open(path).map_err(|error| ModelError::read(path, error))?;
        let length = file.metadata().map_err(|error| ModelError::read(path, error))?.len();
        Ok(Self { path: path.to_owned(), file, length })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// `length` bytes from `offset`; `part` names them in the error.
    pub(crate) fn bytes(&self, offset: u64, length: u64, part: &str) -> Result<Vec<u8>, ModelError> {
        if offset.checked_add(length).is_none_or(|end| end > self.length) {
            let reason = format!("{part} would take bytes {offset} to {offset}+{length} of {}", self.length);
            return Err(ModelError::damaged(&self.path, reason));
        }
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, offset).map_err(|error| ModelError::read(&self.path, error))?;
        Ok(bytes)
    }
}
