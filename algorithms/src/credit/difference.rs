//! Difference reward: what the team would have lost without an agent's action.
//!
//! # What it is
//!
//! The reward of the episode minus the reward of a replay in which one agent's action was replaced by a default (an
//! empty message, the greedy answer). Aligned with the team goal and free of the other agents' noise.
//!
//! # Objective
//!
//! ```text
//! D_i = R(a) - R(a_-i, c_i)
//! ```
//!
//! # When to use it, when not
//!
//! When a replay is cheap (n extra episodes per episode) and a sensible default exists. With samples instead of a
//! default use [`leave_one_out`](super::leave_one_out); with no replays at all a critic.
//!
//! # Shapes, units, errors
//!
//! `without[i]` is the reward of the replay for agent i; one reward per agent, in units of reward. Refuses no agents and
//! rewards that are not finite: a replay that broke is a fault, not a 0.
//!
//! # References
//!
//! Wolpert and Tumer 2002, Advances in Complex Systems 4; Foerster et al. 2018 (COMA), arXiv 1705.08926.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::credit::difference::difference;
//! // Without agent 0 the team fails; without agent 1 it does as well as before.
//! assert_eq!(difference(1.0, &[0.0, 1.0])?, [1.0, 0.0]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use super::{check_finite, some_turns};
use crate::Result;

/// The difference reward of each agent. See the [module documentation](self).
pub fn difference(reward: f64, without: &[f64]) -> Result<Vec<f64>> {
    some_turns("difference", without.len())?;
    check_finite("difference", "reward", &[reward])?;
    check_finite("difference", "replay reward", without)?;
    Ok(without.iter().map(|replay| reward - replay).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_agent_that_mattered_is_paid() {
        // A chain in which only agent 0's token decides: R = 1 with it, 0 without; the others change nothing.
        assert_eq!(difference(1.0, &[0.0, 1.0, 1.0]).unwrap(), [1.0, 0.0, 0.0]);
        assert_eq!(difference(0.0, &[1.0, 0.0, 0.0]).unwrap(), [-1.0, 0.0, 0.0]);
    }

    #[test]
    fn a_broken_replay_is_refused() {
        assert!(difference(1.0, &[f64::NAN]).is_err());
    }
}
