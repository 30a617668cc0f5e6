//! What can go wrong with a server.

use std::time::Duration;

/// Why a remote call gave no answer. None of these is a reward.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The settings make no sense.
    #[error("remote policy: {0}")]
    Config(String),
    /// The server cannot be reached.
    #[error("cannot reach {url}: {reason}")]
    Connect {
        /// The address, without the key.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The deadline passed.
    #[error("no answer within {} s, after {attempts} attempts", .limit.as_secs_f64())]
    Deadline {
        /// The limit.
        limit: Duration,
        /// Attempts begun.
        attempts: u32,
    },
    /// The server refuses.
    #[error("the server answered {status}: {body}")]
    Status {
        /// HTTP status.
        status: u16,
        /// The beginning of what it said.
        body: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The answer is not what the protocol says.
    #[error("the server's answer is malformed: {0}")]
    Malformed(String),
    /// The connection broke while the answer came.
    #[error("the answer broke off: {0}")]
    BrokenOff(String),
    /// Log-probs were asked for and did not come: the answer cannot be trained on.
    #[error("the server sent no log-probs although they were asked for")]
    NoLogprobs,
}

impl RemoteError {
    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::BrokenOff(_) => true,
            Self::Status { status, .. } => matches!(status, 408 | 409 | 425 | 429 | 500 | 502 | 503 | 504),
            Self::Config(_) | Self::Deadline { .. } | Self::Malformed(_) | Self::NoLogprobs => false,
        }
    }

    /// How long the server asks to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
