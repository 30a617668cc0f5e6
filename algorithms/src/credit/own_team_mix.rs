//! Own-team mix: part own reward, part the team's mean.
//!
//! # What it is
//!
//! Each agent has a reward of its own; a share of it is replaced by the mean over the team.
//!
//! # Objective
//!
//! ```text
//! r_i = (1 - w) own_i + w mean_j own_j
//! ```
//!
//! # When to use it, when not
//!
//! Parallel agents that are graded one by one and should still help one another. w = 0 is selfish, w = 1 fully shared.
//! The sum over the team does not change, so it may be used along a chain.
//!
//! # Shapes, units, errors
//!
//! One reward per agent, in units of reward. Refuses no agents, a weight outside \[0, 1\], rewards that are not finite.
//!
//! # References
//!
//! The parallel baseline of MARFT's port to AReaL uses w = 0.5; mixed rewards also in Zhao et al. 2025, arXiv 2510.11062.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::credit::own_team_mix::own_team_mix;
//! assert_eq!(own_team_mix(&[1.0, 0.0], 0.5)?, [0.75, 0.25]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use super::{CreditError, check_finite, some_turns};
use crate::Result;

/// The mixed reward of each agent. See the [module documentation](self).
pub fn own_team_mix(own: &[f64], team_weight: f64) -> Result<Vec<f64>> {
    some_turns("own_team_mix", own.len())?;
    check_finite("own_team_mix", "reward", own)?;
    if !(0.0..=1.0).contains(&team_weight) {
        let hint = "0.5 weighs own and team alike";
        return Err(CreditError::Setting { name: "team_weight", value: team_weight, range: "[0, 1]", hint }.into());
    }
    let team = own.iter().sum::<f64>() / own.len() as f64;
    Ok(own.iter().map(|r| (1.0 - team_weight) * r + team_weight * team).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half own, half team, as the parallel baseline of MARFT's port to AReaL: mean 1, so r = own / 2 + 1 / 2.
    #[test]
    fn half_own_and_half_team() {
        assert_eq!(own_team_mix(&[1.0, -2.0, 4.0], 0.5).unwrap(), [1.0, -0.5, 2.5]);
        assert_eq!(own_team_mix(&[1.0, -2.0, 4.0], 0.0).unwrap(), [1.0, -2.0, 4.0]);
    }

    #[test]
    fn the_sum_over_the_team_is_kept() {
        let mixed = own_team_mix(&[1.0, -2.0, 4.0], 0.3).unwrap();
        assert!((mixed.iter().sum::<f64>() - 3.0).abs() < 1e-12);
        assert_eq!(own_team_mix(&[1.0, -2.0, 4.0], 1.0).unwrap(), [1.0; 3]);
        assert!(own_team_mix(&[1.0], 1.5).is_err());
    }
}
