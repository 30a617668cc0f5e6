//! What can go wrong with an adapter, each error naming the file, setting or tensor.

use std::path::PathBuf;

use tch::TchError;

/// Why an adapter could not be made, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoraError {
    /// A setting is out of its range.
    #[error("adapter setting `{key}`: {reason}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
    /// A target module that no decoder here has.
    #[error(
        "target module `{name}` is unknown; there are q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj and \
         lm_head, or `all-linear`"
    )]
    UnknownTarget {
        /// The name as written.
        name: String,
    },
    /// The operating system refused a file.
    #[error("cannot {doing} `{}`", path.display())]
    File {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what its name says, or ends too early.
    #[error("`{}` is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which part, and what was found there.
        reason: String,
    },
    /// The adapter uses something of PEFT that is not implemented here.
    #[error("`{}`: {what} is not supported", path.display())]
    Unsupported {
        /// The configuration file.
        path: PathBuf,
        /// The setting and its value.
        what: String,
    },
    /// A tensor that the configuration asks for is not there.
    #[error("`{}` has no tensor `{tensor}`", path.display())]
    MissingTensor {
        /// The weights file.
        path: PathBuf,
        /// The tensor's name in that file.
        tensor: String,
    },
    /// A tensor that the configuration has no place for: reading on would silently train something else.
    #[error("`{}`: tensor `{tensor}` belongs to no target of this model", path.display())]
    StrayTensor {
        /// The weights file.
        path: PathBuf,
        /// The tensor's name in that file.
        tensor: String,
    },
    /// A tensor has another shape than model and configuration say.
    #[error("`{}`: tensor `{tensor}` has shape {found:?}, the model and the configuration say {expected:?}", path.display())]
    WrongShape {
        /// The weights file.
        path: PathBuf,
        /// The tensor's name in that file.
        tensor: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// A tensor is stored in a type that adapters do not have, or holds values that are no numbers.
    #[error("`{}`: tensor `{tensor}` {reason}", path.display())]
    BadTensor {
        /// The weights file.
        path: PathBuf,
        /// The tensor's name in that file.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// libtorch refused an operation, most often for want of memory.
    #[error("{doing}: {reason}")]
    Torch {
        /// What was being done.
        doing: &'static str,
        /// The first line of libtorch's message.
        reason: String,
    },
}

impl LoraError {
    pub(crate) fn torch(doing: &'static str, error: &TchError) -> Self {
        Self::Torch { doing, reason: error.to_string().lines().next().unwrap_or_default().to_owned() }
    }
}
