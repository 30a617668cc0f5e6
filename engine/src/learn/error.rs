//! Why a batch taught nothing.

use marft_agents::train::TrainError;
use marft_agents::train::commands::CommandError;
use marft_algorithms::Error;
use marft_algorithms::loss::LossError;
use marft_algorithms::order::OrderError;
use marft_algorithms::trajectory::TrajectoryError;

/// Learning from a batch failed. No weight has changed that is not named.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// A formula refused its input.
    #[error(transparent)]
    Algorithm(#[from] Error),
    /// The device refused.
    #[error(transparent)]
    Device(#[from] CommandError),
    /// A record contradicts itself.
    #[error("episode {episode}: {reason}")]
    Record {
        /// The episode.
        episode: String,
        /// What is wrong.
        reason: String,
    },
    /// The credit rule needs what was not rolled out.
    #[error("the credit rule `{rule}` needs episodes that are rolled out again, and this step has none")]
    NoReplays {
        /// The rule.
        rule: &'static str,
    },
}

impl LearnError {
    /// Whether a number is not finite: that spoils an update, and not the run.
    pub fn is_not_finite(&self) -> bool {
        match self {
            Self::Algorithm(error) => is_not_finite(error),
            Self::Device(CommandError::Train(TrainError::BadLoss { .. })) => true,
            Self::Device(CommandError::Train(TrainError::Loss(cause))) => {
                cause.downcast_ref::<Error>().is_some_and(is_not_finite)
            }
            _ => false,
        }
    }
}

const fn is_not_finite(error: &Error) -> bool {
    matches!(
        error,
        Error::Loss(LossError::NotFinite { .. })
            | Error::Order(OrderError::NotFinite { .. })
            | Error::Trajectory(TrajectoryError::NotFinite { .. })
    )
}
