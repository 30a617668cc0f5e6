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
    /// The model could not be had from the hub.
    #[error("cannot fetch `{name}` from the hub")]
    Hub {
        /// The model.
        name: String,
        /// Why.
        #[source]
        source: HubError,
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

/// Why the hub gave no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The environment forbids it.
    #[error("HF_HUB_OFFLINE is set")]
    Offline,
    /// No connection, or one that broke off.
    #[error("`{endpoint}` cannot be reached: {reason}")]
    Unreachable {
        /// The hub.
        endpoint: String,
        /// What the network said.
        reason: String,
    },
    /// The hub refused.
    #[error("`{endpoint}` answered {status}{}", meaning(*status, *token))]
    Status {
        /// The hub.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// Whether a token was sent.
        token: bool,
    },
    /// The token cannot be sent.
    #[error("the token holds characters that a header cannot")]
    Token,
    /// What the hub said of the model makes no sense.
    #[error("the hub's list of files cannot be read: {reason}")]
    Answer {
        /// What is wrong with it.
        reason: String,
    },
    /// The repository is not a model that can be read.
    #[error("the repository holds no `config.json` with weights as `model*.safetensors`")]
    NoModel,
    /// A file is not what was announced.
    #[error("`{file}` came damaged: {reason}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
}

fn meaning(status: u16, token: bool) -> &'static str {
    match (status, token) {
        (401 | 403, false) => ": the model does not exist or wants a token, and HF_TOKEN is not set",
        (401 | 403, true) => ": the token does not give access to it",
        (404, _) => ": there is no such model",
        (429, _) => ": too many requests",
        _ => "",
    }
}
