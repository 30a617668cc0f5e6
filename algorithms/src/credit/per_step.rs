//! Per step: each turn is paid by its own reward function.
//!
//! # What it is
//!
//! Rewards that were already given turn by turn. A turn without a reward is `None`, which is not the same as 0: peers
//! that take 0 for "no reward" lose the zero that a reward function really gave.
//!
//! # Objective
//!
//! ```text
//! r_i = f_i, and `default` where no function applied
//! ```
//!
//! # When to use it, when not
//!
//! Process rewards, format rewards by role, environments that pay at every step. With sparse outcome rewards use
//! [`last_agent`](super::last_agent).
//!
//! # Shapes, units, errors
//!
//! One reward per turn and the number of turns that had one. Refuses no turns, and rewards that are not finite.
//!
//! # References
//!
//! `per_step` of MARFT's second release (Liao et al. 2025, arXiv 2504.16129).
//!
//! # Example
//!
//! ```
//! use marft_algorithms::credit::per_step::per_step;
//! assert_eq!(per_step(&[Some(0.0), None, Some(0.9)], -0.1)?, ([0.0, -0.1, 0.9].to_vec(), 2));
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use super::{check_finite, some_turns};
use crate::Result;

/// The rewards of the turns, and how many were really given. See the [module documentation](self).
pub fn per_step(given: &[Option<f64>], default: f64) -> Result<(Vec<f64>, usize)> {
    some_turns("per_step", given.len())?;
    let paid: Vec<f64> = given.iter().map(|reward| reward.unwrap_or(default)).collect();
    check_finite("per_step", "reward", &paid)?;
    Ok((paid, given.iter().flatten().count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_zero_is_not_a_missing_reward() {
        assert_eq!(per_step(&[Some(0.0)], 5.0).unwrap(), (vec![0.0], 1));
        assert_eq!(per_step(&[None], 5.0).unwrap(), (vec![5.0], 0));
        assert!(per_step(&[], 0.0).is_err());
        assert!(per_step(&[None], f64::NAN).is_err());
    }
}
