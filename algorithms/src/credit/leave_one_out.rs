//! Leave one out: an action against other samples of the same agent in the same place.
//!
//! # What it is
//!
//! The counterfactual baseline by replay: the other agents' actions stay, agent i's action is sampled again k times, and
//! the mean reward of these replays is the baseline.
//!
//! # Objective
//!
//! ```text
//! A_i = R(a) - 1/k sum_j R(a_-i, a'_i^j)
//! ```
//!
//! # When to use it, when not
//!
//! To tell agents of one episode apart without a critic; costs k replays per agent, and later agents must be replayed
//! too where they saw agent i's action. One replay per agent already is unbiased, and noisy.
//!
//! # Shapes, units, errors
//!
//! `replays[i]` holds the rewards of agent i's replays, in any number of at least 1; one reward per agent, in units of
//! reward. Refuses no agents, an agent without replays, and rewards that are not finite.
//!
//! # References
//!
//! Foerster et al. 2018 (COMA), arXiv 1705.08926, with replays in place of the critic.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::credit::leave_one_out::leave_one_out;
//! assert_eq!(leave_one_out(1.0, &[vec![0.0, 1.0], vec![1.0]])?, [0.5, 0.0]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use super::{CreditError, check_finite, some_turns};
use crate::Result;

/// The counterfactual advantage of each agent. See the [module documentation](self).
pub fn leave_one_out(reward: f64, replays: &[Vec<f64>]) -> Result<Vec<f64>> {
    const RULE: &str = "leave_one_out";
    some_turns(RULE, replays.len())?;
    check_finite(RULE, "reward", &[reward])?;
    replays
        .iter()
        .enumerate()
        .map(|(agent, replays)| {
            if replays.is_empty() {
                return Err(CreditError::NoReplay { rule: RULE, agent }.into());
            }
            check_finite(RULE, "replay reward", replays)?;
            Ok(reward - replays.iter().sum::<f64>() / replays.len() as f64)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_without_replays_is_named() {
        let refused = leave_one_out(1.0, &[vec![0.0], vec![]]).unwrap_err().to_string();
        assert!(refused.contains("position 1"), "{refused}");
    }

    #[test]
    fn it_is_zero_on_average_over_the_agents_own_policy() {
        // Agent 0 earns 1 with probability .25; every action of the four equally likely ones against all four.
        let outcomes = [1.0, 0.0, 0.0, 0.0];
        let sum: f64 = outcomes.iter().map(|&r| leave_one_out(r, &[outcomes.to_vec()]).unwrap()[0]).sum();
        assert!(sum.abs() < 1e-12);
    }
}
