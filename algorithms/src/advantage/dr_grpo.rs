//! Dr. GRPO: group-relative advantages without the division.
//!
//! # What it is
//!
//! [`grpo`](super::grpo) without the standard deviation, to be used with a loss that divides by a constant instead of by
//! each answer's length.
//!
//! # Objective
//!
//! ```text
//! A_i = R_i - mean_group R
//! ```
//!
//! # When to use it, when not
//!
//! When the groups differ in difficulty: dividing by a small deviation makes the nearly solved and the nearly hopeless
//! tasks weigh most. Pair it with the aggregation `seq-mean-token-sum-norm`; with a per-sequence mean the length bias
//! that it removes comes back.
//!
//! # Shapes, units, errors
//!
//! As [`grpo`](super::grpo::grpo); advantages in units of reward.
//!
//! # References
//!
//! Liu et al. 2025 (Understanding R1-Zero-like training), arXiv 2503.20783.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::advantage::dr_grpo::{DrGrpoConfig, dr_grpo};
//! let a = dr_grpo(&[1.0, 0.0, 0.0, 1.0], &[0, 0, 0, 0], &DrGrpoConfig::default())?.advantage;
//! assert_eq!(a, [0.5, -0.5, -0.5, 0.5]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::group::{GroupAdvantages, LoneGroups, Std};
use super::grpo::{GrpoConfig, named};
use crate::Result;

/// Settings of [`dr_grpo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrGrpoConfig {
    /// What to do with groups of one. Default refuse.
    pub lone_groups: LoneGroups,
}

/// Centred advantages. See the [module documentation](self).
pub fn dr_grpo(rewards: &[f64], groups: &[u32], config: &DrGrpoConfig) -> Result<GroupAdvantages> {
    let config = GrpoConfig { std: Std::None, lone_groups: config.lone_groups, ..GrpoConfig::default() };
    named("dr_grpo", rewards, groups, &config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nearly_solved_group_does_not_weigh_more() {
        // One failure in four against two in four: GRPO would divide by .5 and by .57735.
        let rewards = [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0];
        let got = dr_grpo(&rewards, &[0, 0, 0, 0, 1, 1, 1, 1], &DrGrpoConfig::default()).unwrap().advantage;
        assert_eq!(got, [0.25, 0.25, 0.25, -0.75, 0.5, 0.5, -0.5, -0.5]);
    }

    #[test]
    fn the_refusal_bears_its_own_name() {
        let refused = dr_grpo(&[1.0], &[0], &DrGrpoConfig::default()).unwrap_err().to_string();
        assert!(refused.starts_with("dr_grpo"), "{refused}");
    }
}
