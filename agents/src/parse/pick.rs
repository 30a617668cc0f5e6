//! Which of several finds counts.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt<'t> {
    /// What it says.
    pub text: &'t str,
    /// Its bytes in the text that was read.
    pub bytes: Range<usize>,
}

/// Which of several finds counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    /// The first.
    First,
    /// The last: what a policy settled on.
    #[default]
    Last,
    /// The only one; several are an error.
    Only,
}

/// Why nothing could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nothing was found.
    #[error("there is no {what}")]
    Missing {
        /// What was looked for.
        what: String,
    },
    /// There is more than one where there must be one.
    #[error("there are {count} of {what}, but there must be exactly one")]
    Repeated {
        /// What was looked for.
        what: String,
        /// How often it was found.
        count: usize,
    },
    /// The text ends inside.
    #[error("{what} is not closed")]
    Unclosed {
        /// What was looked for.
        what: String,
    },
}

impl Pick {
    /// Picks from `found`. `what` names it in errors.
    pub(super) fn of<T>(self, found: Vec<T>, what: impl FnOnce() -> String) -> Result<T, ReadError> {
        let count = found.len();
        if self == Self::Only && count > 1 {
            return Err(ReadError::Repeated { what: what(), count });
        }
        let mut found = found.into_iter();
        let picked = if self == Self::Last { found.next_back() } else { found.next() };
        picked.ok_or_else(|| ReadError::Missing { what: what() })
    }
}
