//! The most a team can cost: calls of policies and sampled tokens, counted before anything runs.

mod count;

use std::ops::{Add, Mul};

use serde::Serialize;

pub(crate) use count::{costs, rounds_acting, worst_case};

/// Calls and sampled tokens; sums and products saturate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WorstCase {
    /// Calls of policies.
    pub calls: u64,
    /// Sampled tokens.
    pub tokens: u64,
}

impl WorstCase {
    /// The larger of each count.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { calls: self.calls.max(other.calls), tokens: self.tokens.max(other.tokens) }
    }
}

impl Add for WorstCase {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { calls: self.calls.saturating_add(other.calls), tokens: self.tokens.saturating_add(other.tokens) }
    }
}

impl Mul<u64> for WorstCase {
    type Output = Self;

    fn mul(self, times: u64) -> Self {
        Self { calls: self.calls.saturating_mul(times), tokens: self.tokens.saturating_mul(times) }
    }
}

impl std::iter::Sum for WorstCase {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}
