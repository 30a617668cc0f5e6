//! What can go wrong between a model's name and its files.

use std::path::PathBuf;

use crate::model::ModelError;
use crate::text::TextError;

/// Why a model could not be found, fetched or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PretrainedError {
    /// No file, alias or installed model has this name.
    #[error("there is no model `{name}`: it is no path, no alias and not in the cache")]
    Unknown {
        /// The name as given.
        name: String,
    },
    /// The name is known, the files are not there yet.
    #[error("the model `{name}` is not in the cache")]
    NotInstalled {
        /// The name as given.
        name: String,
    },
    /// Nothing says where the cache is.
    #[error("neither XDG_CACHE_HOME nor HOME is an absolute path, so there is no cache")]
    NoCache,
    /// The path is neither a folder nor a GGUF file.
    #[error("`{}` is neither a model folder nor a `.gguf` file", path.display())]
    NotAModel {
        /// The path.
        path: PathBuf,
    },
    /// A fetched file is not the published one.
    #[error("`{file}` of `{name}` has SHA-256 {found}, expected {expected}")]
    Hash {
        /// The model.
        name: String,
        /// The file in its folder.
        file: String,
        /// The hash of what was fetched.
        found: String,
        /// The hash of what was published.
        expected: String,
    },
    /// Fetching failed.
    #[error("cannot fetch `{name}`: {reason}")]
    Fetch {
        /// The model.
        name: String,
        /// What the fetching program said.
        reason: String,
    },
    /// The cache cannot be written.
    #[error("cannot install `{name}`")]
    Install {
        /// The model.
        name: String,
        /// The operating system's reason, with the path.
        #[source]
        source: std::io::Error,
    },
    /// The model's weights or configuration are not usable.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model's tokenizer or chat template is not usable.
    #[error(transparent)]
    Text(#[from] TextError),
}
