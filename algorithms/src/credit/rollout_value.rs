//! Roll-out value: what a partial transcript is worth, by finishing it several times.
//!
//! # What it is
//!
//! From every turn border the episode is finished m times; the mean reward is the value of the transcript so far. The
//! change from one border to the next is the credit of the turn in between. The same counts give step labels for process
//! reward models.
//!
//! # Objective
//!
//! ```text
//! V(k) = 1/m sum_j R_j(k)          r_k = V(k+1) - V(k),  V(n) = R
//! soft label = share of right continuations          hard label = 1 if any is right
//! ```
//!
//! The credits sum to R - V(0): nothing is paid twice.
//!
//! # When to use it, when not
//!
//! To label data for a process reward model or to credit few, expensive turns; costs n m continuations per episode. For
//! dense training a critic is the cheap approximation of the same number.
//!
//! # Shapes, units, errors
//!
//! `continuations[k]` holds the rewards of the roll-outs from before turn k; one credit per turn, in units of reward.
//! Refuses no turns, a border without roll-outs, and rewards that are not finite.
//!
//! # References
//!
//! Wang et al. 2024 (Math-Shepherd), arXiv 2312.08935; Kazemnejad et al. 2024 (VinePPO), arXiv 2410.01679.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::credit::rollout_value::{rollout_value, soft_label};
//! // Half of the roll-outs from the start are right, all of those after the first turn.
//! let credit = rollout_value(&[vec![0.0, 1.0], vec![1.0, 1.0]], 1.0)?;
//! assert_eq!(credit, [0.5, 0.0]);
//! assert_eq!(soft_label(&[true, true, true, false, false, false, false, false])?, 0.375);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use super::{CreditError, check_finite, some_turns};
use crate::Result;

const RULE: &str = "rollout_value";

/// The credit of each turn. See the [module documentation](self).
pub fn rollout_value(continuations: &[Vec<f64>], reward: f64) -> Result<Vec<f64>> {
    some_turns(RULE, continuations.len())?;
    check_finite(RULE, "reward", &[reward])?;
    let mut values = Vec::with_capacity(continuations.len() + 1);
    for (turn, rewards) in continuations.iter().enumerate() {
        if rewards.is_empty() {
            return Err(CreditError::NoReplay { rule: RULE, agent: turn }.into());
        }
        check_finite(RULE, "roll-out reward", rewards)?;
        values.push(rewards.iter().sum::<f64>() / rewards.len() as f64);
    }
    values.push(reward);
    Ok(values.windows(2).map(|pair| pair[1] - pair[0]).collect())
}

/// The share of right continuations of a step, in \[0, 1\]. Refuses no continuations.
pub fn soft_label(right: &[bool]) -> Result<f64> {
    some_turns("soft_label", right.len())?;
    Ok(right.iter().filter(|&&right| right).count() as f64 / right.len() as f64)
}

/// 1 if any continuation of a step is right, else 0. Refuses no continuations.
pub fn hard_label(right: &[bool]) -> Result<f64> {
    some_turns("hard_label", right.len())?;
    Ok(f64::from(u8::from(right.contains(&true))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_credits_sum_to_the_reward_minus_the_first_value() {
        let credit = rollout_value(&[vec![0.25, 0.5], vec![0.75], vec![0.1, 0.2, 0.3]], 1.0).unwrap();
        assert!((credit.iter().sum::<f64>() - (1.0 - 0.375)).abs() < 1e-12);
    }

    #[test]
    fn labels_of_three_right_in_eight() {
        let right = [true, false, true, false, true, false, false, false];
        assert_eq!(soft_label(&right).unwrap(), 0.375);
        assert_eq!(hard_label(&right).unwrap(), 1.0);
        assert_eq!(hard_label(&[false; 4]).unwrap(), 0.0);
        assert!(soft_label(&[]).is_err());
    }

    #[test]
    fn a_border_without_roll_outs_is_named() {
        let refused = rollout_value(&[vec![1.0], vec![]], 1.0).unwrap_err().to_string();
        assert!(refused.contains("position 1"), "{refused}");
    }
}
