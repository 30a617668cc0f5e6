//! REINFORCE leave-one-out: every sample is measured against the mean of the others.
//!
//! # What it is
//!
//! A baseline that does not contain the sample itself, hence unbiased, without a critic.
//!
//! # Objective
//!
//! ```text
//! A_i = R_i - mean_{j != i} R_j = k / (k - 1) (R_i - mean R)
//! ```
//!
//! # When to use it, when not
//!
//! Outcome rewards with 2 to 8 samples per task; keeps the scale of the reward. Dense rewards are summed first, so
//! "dense" means partial credit in the sum, not credit per turn; for that use [`gae`](super::gae). With k = 1 there are
//! no others: refused, where peers silently train on the raw reward.
//!
//! # Shapes, units, errors
//!
//! As [`grpo`](super::grpo::grpo); advantages in units of reward. TRL's `reward_clip_range` is `clip`.
//!
//! # References
//!
//! Kool et al. 2019; Ahmadian et al. 2024 (Back to basics), arXiv 2402.14740.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::advantage::rloo::{RlooConfig, rloo};
//! let a = rloo(&[1.0, 0.0], &[0, 0], &RlooConfig::default())?.advantage;
//! assert_eq!(a, [1.0, -1.0]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::AdvantageError;
use super::group::{GroupAdvantages, LoneGroups, Members, mean};
use crate::Result;

/// Settings of [`rloo`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RlooConfig {
    /// Rewards are clipped to `[low, high]` first. Default no clipping.
    pub clip: Option<[f64; 2]>,
    /// What to do with groups of one. Default refuse.
    pub lone_groups: LoneGroups,
}

/// Leave-one-out advantages. See the [module documentation](self).
pub fn rloo(rewards: &[f64], groups: &[u32], config: &RlooConfig) -> Result<GroupAdvantages> {
    let members = Members::new("rloo", rewards, groups, config.lone_groups)?;
    let clipped = match config.clip {
        None => rewards.to_vec(),
        Some([low, high]) if low <= high => rewards.iter().map(|r| r.clamp(low, high)).collect(),
        Some([low, _]) => {
            let hint = "give the lower bound first";
            return Err(AdvantageError::Setting { name: "clip", value: low, range: "[low, high]", hint }.into());
        }
    };
    Ok(members.map(&clipped, |earned| {
        let others = earned.len() as f64 / (earned.len() - 1) as f64;
        let centre = mean(earned);
        earned.iter().map(|r| others * (r - centre)).collect()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_group_by_hand() {
        // 1 - (0 + .5 + 0) / 3 = .8333; 0 - 1.5 / 3 = -.5; .5 - 1 / 3 = .1667.
        let got = rloo(&[1.0, 0.0, 0.5, 0.0], &[0; 4], &RlooConfig::default()).unwrap().advantage;
        let want = [5.0 / 6.0, -0.5, 1.0 / 6.0, -0.5];
        assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-12), "{got:?}");
    }

    #[test]
    fn k_of_one_is_refused_with_the_way_out() {
        let refused = rloo(&[1.0], &[0], &RlooConfig::default()).unwrap_err().to_string();
        assert!(refused.starts_with("rloo") && refused.contains("group_size") && refused.contains("gae"), "{refused}");
    }

    #[test]
    fn rewards_are_clipped_before_the_comparison() {
        let config = RlooConfig { clip: Some([-1.0, 1.0]), ..RlooConfig::default() };
        assert_eq!(rloo(&[100.0, 0.0], &[0, 0], &config).unwrap().advantage, [1.0, -1.0]);
        let reversed = RlooConfig { clip: Some([1.0, -1.0]), ..RlooConfig::default() };
        assert!(rloo(&[100.0, 0.0], &[0, 0], &reversed).is_err());
    }
}
