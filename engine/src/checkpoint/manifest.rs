//! The manifest of a checkpoint: which files it has, how long they are, and their SHA-256.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// File name of the manifest inside a checkpoint.
pub(super) const FILE: &str = "manifest.json";

/// Version of the folder's layout; a reader refuses what is newer.
const FORMAT: u32 = 1;

/// What a checkpoint consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the layout.
    pub format: u32,
    /// The step after which it was written.
    pub step: u64,
    /// Path relative to the checkpoint, with `/` → length and hash.
    pub files: BTreeMap<String, Entry>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

/// In what a folder differs from a whole checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// A file could not be read; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The manifest itself is damaged.
    #[error("{path} is damaged: {message}")]
    Malformed {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Written by a later version.
    #[error("{path} has format {found}, and this version reads up to {FORMAT}")]
    TooNew {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is the manifest of another step's checkpoint.
    #[error("{path} is of step {found}, and its folder is named for step {folder}")]
    Step {
        /// The manifest.
        path: PathBuf,
        /// Its step.
        found: u64,
        /// The step in the folder's name.
        folder: u64,
    },
    /// It does not list what every checkpoint of the run has.
    #[error("{path} does not list `{name}`, without which nothing can be gone on from")]
    Unlisted {
        /// The manifest.
        path: PathBuf,
        /// The file it lacks.
        name: String,
    },
    /// A file was cut short or has grown.
    #[error("{path} has {found} bytes instead of {expected}")]
    Length {
        /// The file.
        path: PathBuf,
        /// As the manifest has it.
        expected: u64,
        /// As it is.
        found: u64,
    },
    /// A file was changed.
    #[error("{path} is not the file that was saved: its SHA-256 differs")]
    Hash {
        /// The file.
        path: PathBuf,
    },
}

impl ManifestError {
    /// Whether it says that the checkpoint is damaged. A folder that this program may not read, or cannot read yet, may be
    /// whole.
    pub fn is_damage(&self) -> bool {
        use std::io::ErrorKind;
        match self {
            Self::TooNew { .. } => false,
            Self::Io(error) => matches!(
                error.kind(),
                ErrorKind::NotFound
                    | ErrorKind::NotADirectory
                    | ErrorKind::IsADirectory
                    | ErrorKind::InvalidData
                    | ErrorKind::UnexpectedEof
            ),
            _ => true,
        }
    }
}

impl Manifest {
    /// Hashes and flushes every file below `folder`, then writes the manifest there and flushes it and the folders.
    pub(super) fn seal(folder: &Path, step: u64) -> std::io::Result<Self> {
        let mut files = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        let mut at = 0;
        while at < folders.len() {
            for entry in fs::read_dir(folders[at].clone())? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let (bytes, sha256) = hash(&path)?;
                    fs::File::open(&path)?.sync_all()?;
                    files.insert(relative(folder, &path), Entry { bytes, sha256 });
                }
            }
            at += 1;
        }
        let manifest = Self { format: FORMAT, step, files };
        let mut file = fs::File::create(folder.join(FILE))?;
        file.write_all(serde_json::to_string_pretty(&manifest)?.as_bytes())?;
        file.sync_all()?;
        for folder in folders {
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(manifest)
    }

    /// Reads the manifest of `folder`, which must be that of `step` and list the files `needs`, and compares every file with
    /// it.
    ///
    /// # Errors
    /// The first difference.
    pub fn verify(folder: &Path, step: u64, needs: &[String]) -> Result<Self, ManifestError> {
        let path = folder.join(FILE);
        let text = fs::read_to_string(&path)?;
        let manifest: Self = serde_json::from_str(&text)
            .map_err(|error| ManifestError::Malformed { path: path.clone(), message: error.to_string() })?;
        if manifest.format > FORMAT {
            return Err(ManifestError::TooNew { path, found: manifest.format });
        }
        if manifest.step != step {
            return Err(ManifestError::Step { path, found: manifest.step, folder: step });
        }
        if let Some(name) = needs.iter().find(|name| !manifest.files.contains_key(*name)) {
            return Err(ManifestError::Unlisted { path, name: name.clone() });
        }
        for (name, entry) in &manifest.files {
            if Path::new(name).components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
                let message = format!("`{name}` leads out of the checkpoint");
                return Err(ManifestError::Malformed { path, message });
            }
            let file = folder.join(name);
            let found = fs::metadata(&file)?.len();
            if found != entry.bytes {
                return Err(ManifestError::Length { path: file, expected: entry.bytes, found });
            }
            if hash(&file)?.1 != entry.sha256 {
                return Err(ManifestError::Hash { path: file });
            }
        }
        Ok(manifest)
    }
}

fn relative(folder: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(folder).unwrap_or(path);
    inside.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// Length and SHA-256 of a file, read in pieces.
pub(crate) fn hash(path: &Path) -> std::io::Result<(u64, String)> {
    use std::fmt::Write as _;
    let mut file = fs::File::open(path)?;
    let (mut hasher, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        hasher.update(&buffer[..read]);
    }
    let mut text = String::with_capacity(64);
    for byte in hasher.finalize() {
        write!(text, "{byte:02x}").expect("writing to a string never fails");
    }
    Ok((bytes, text))
}
