//! What can go wrong with a model, each error naming the file and, where there is one, the tensor.

use std::path::{Path, PathBuf};

use tch::TchError;

/// Why a model could not be read, checked or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The operating system refused to read a file.
    #[error("cannot read `{}`", path.display())]
    Read {
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
    /// The configuration is readable but describes no model that can be built.
    #[error("`{origin}` describes no usable model: {reason}")]
    Config {
        /// The file or the `random:` text.
        origin: String,
        /// The field and what is wrong with it.
        reason: String,
    },
    /// The model is of a family that is not implemented.
    #[error("`{origin}` is a `{found}` model; the known architectures are llama, qwen2, qwen3 and gemma3")]
    Architecture {
        /// The file or the `random:` text.
        origin: String,
        /// The architecture as written there.
        found: String,
    },
    /// A tensor that the architecture needs is not there.
    #[error("`{origin}` has no tensor `{tensor}`")]
    MissingTensor {
        /// The file or folder.
        origin: String,
        /// The tensor's name in that file.
        tensor: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("`{origin}`: tensor `{tensor}` has shape {found:?}, the configuration says {expected:?}")]
    WrongShape {
        /// The file or folder.
        origin: String,
        /// The tensor's name in that file.
        tensor: String,
        /// Its shape in the file.
        found: Vec<i64>,
        /// The shape that the configuration asks for.
        expected: Vec<i64>,
    },
    /// A tensor is stored in a format that cannot be read.
    #[error("`{origin}`: tensor `{tensor}` is stored as {format}, which is not supported")]
    Format {
        /// The file or folder.
        origin: String,
        /// The tensor's name in that file.
        tensor: String,
        /// The storage format as the file names it.
        format: String,
    },
    /// libtorch refused an operation, most often for want of memory or because of a token id outside the vocabulary.
    #[error("{doing}: {reason}")]
    Torch {
        /// What was being done.
        doing: String,
        /// The first line of libtorch's message.
        reason: String,
    },
}

impl ModelError {
    /// Wraps libtorch's refusal, keeping the first line of its message: the rest is a C++ back trace.
    pub fn torch(doing: impl Into<String>, error: &TchError) -> Self {
        let text = error.to_string();
        Self::Torch { doing: doing.into(), reason: text.lines().next().unwrap_or_default().to_owned() }
    }

    pub(crate) fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.into() }
    }
}
