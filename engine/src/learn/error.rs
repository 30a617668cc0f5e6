//! Why a batch taught nothing.

use marft_agents::train::commands::CommandError;

/// Learning from a batch failed. No weight has changed that is not named.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// A formula refused its input.
    #[error(transparent)]
    Algorithm(#[from] marft_algorithms::Error),
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
