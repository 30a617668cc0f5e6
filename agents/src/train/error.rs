//! What can go wrong in scoring and training.

use crate::generate::PolicyId;
use crate::lora::LoraError;
use crate::model::ModelError;

/// Why a pass, an update or a checkpoint failed. Nothing is updated then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// No policy of this name is on the device.
    #[error("{0} is not on this device")]
    UnknownPolicy(PolicyId),
    /// A policy of this name is on the device already.
    #[error("{0} is on this device already")]
    PolicyExists(PolicyId),
    /// No critic of this name, or no such head of it, is on the device.
    #[error("critic {critic} with head {head} is not on this device")]
    UnknownCritic {
        /// The critic.
        critic: u32,
        /// The head.
        head: usize,
    },
    /// A policy or critic that nothing trains was asked to update.
    #[error("{0} is frozen: it has no optimiser")]
    Frozen(String),
    /// A sequence contradicts itself.
    #[error("sequence {number}: {reason}")]
    Sequence {
        /// Index in the call.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting is out of its range.
    #[error("training setting `{key}`: {reason}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
    /// The loss function failed.
    #[error("the loss could not be computed")]
    Loss(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The loss is no finite scalar, so its gradient would destroy the weights.
    #[error("the loss is {found}, not one finite number; nothing was accumulated")]
    BadLoss {
        /// The value or the shape.
        found: String,
    },
    /// Something is wrong with an adapter.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// The model refused the pass.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A kernel refused its arguments.
    #[error(transparent)]
    Kernel(#[from] marft_torch::Error),
    /// libtorch refused an operation, most often for want of memory.
    #[error("{doing}: {reason}")]
    Torch {
        /// What was being done.
        doing: &'static str,
        /// The first line of libtorch's message.
        reason: String,
    },
    /// A checkpoint file is missing, damaged, or of something else.
    #[error("checkpoint `{}`: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl TrainError {
    pub(crate) fn torch(doing: &'static str, error: &tch::TchError) -> Self {
        Self::Torch { doing, reason: error.to_string().lines().next().unwrap_or_default().to_owned() }
    }
}
