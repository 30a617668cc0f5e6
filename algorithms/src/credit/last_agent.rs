//! Last agent: the team reward goes to the last turn.
//!
//! # What it is
//!
//! The reward of the episode (or of a step) is paid to the turn that finished it; the others learn through the chain.
//!
//! # Objective
//!
//! ```text
//! r_i = R if i is the last turn, else 0
//! ```
//!
//! # When to use it, when not
//!
//! With a critic and the team's chain ([`gae`](crate::advantage::gae)): the default. Without a critic the earlier agents
//! would learn nothing from group estimators by turn; use [`step_discount`](super::step_discount) or an estimator by
//! episode.
//!
//! # Shapes, units, errors
//!
//! `turns` rewards, in units of `reward`. Refuses no turns and a reward that is not finite.
//!
//! # References
//!
//! MARFT's first release, and `equal` of its second (Liao et al. 2025, arXiv 2504.16129).
//!
//! # Example
//!
//! ```
//! use marft_algorithms::credit::last_agent::last_agent;
//! assert_eq!(last_agent(3, 1.0)?, [0.0, 0.0, 1.0]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use super::{check_finite, some_turns};
use crate::Result;

/// The whole reward on the last of `turns` turns. See the [module documentation](self).
pub fn last_agent(turns: usize, reward: f64) -> Result<Vec<f64>> {
    some_turns("last_agent", turns)?;
    check_finite("last_agent", "reward", &[reward])?;
    let mut paid = vec![0.0; turns];
    paid[turns - 1] = reward;
    Ok(paid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_to_pay_and_nothing_to_pay_are_refused() {
        assert!(last_agent(0, 1.0).is_err());
        assert!(last_agent(2, f64::NAN).is_err());
    }
}
