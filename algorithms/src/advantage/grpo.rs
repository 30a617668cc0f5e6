//! Group relative policy optimisation: compare the samples of one task with one another.
//!
//! # What it is
//!
//! The reward of a sample, centred by the mean of its group and divided by the group's (or the batch's) standard
//! deviation. No critic.
//!
//! # Objective
//!
//! ```text
//! A_i = (R_i - mean_group R) / (std R + eps)
//! ```
//!
//! # When to use it, when not
//!
//! Outcome rewards and cheap repeated sampling. A group in which everyone earned the same gives 0 and is reported: when
//! all groups are uniform, learning has stopped. The division makes groups of very easy and very hard tasks weigh more
//! than they should; see [`dr_grpo`](super::dr_grpo). In a team whose agents earn on different scales use
//! [`dr_mas`](super::dr_mas) or [`at_grpo`](super::at_grpo).
//!
//! # Shapes, units, errors
//!
//! `rewards[i]` is the total reward of sample i, `groups[i]` its group; one advantage per sample, dimensionless.
//! Refuses a group of one, unequal lengths, no samples, and rewards that are not finite.
//!
//! # References
//!
//! Shao et al. 2024 (DeepSeekMath), arXiv 2402.03300. TRL divides by std + 1e-4, verl by std + 1e-6, both unbiased.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::advantage::grpo::{GrpoConfig, grpo};
//! let a = grpo(&[1.0, 0.0], &[0, 0], &GrpoConfig::default())?.advantage;
//! assert!((a[0] - 0.5_f64.sqrt()).abs() < 1e-5 && a[0] == -a[1]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::group::{GroupAdvantages, LoneGroups, Members, Std, mean};
use crate::Result;

/// Over which samples the standard deviation is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleOver {
    /// The group (GRPO).
    #[default]
    Group,
    /// All samples of the batch (TRL's `scale_rewards = "batch"`).
    Batch,
}

/// Settings of [`grpo`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpoConfig {
    /// Which deviation divides. Default unbiased.
    pub std: Std,
    /// Over which samples it is taken. Default the group.
    pub scale_over: ScaleOver,
    /// Added to the deviation, in units of reward. Default 1e-6.
    pub eps: f64,
    /// What to do with groups of one. Default refuse.
    pub lone_groups: LoneGroups,
}

impl Default for GrpoConfig {
    fn default() -> Self {
        Self { std: Std::Unbiased, scale_over: ScaleOver::Group, eps: 1e-6, lone_groups: LoneGroups::Refuse }
    }
}

/// Group-relative advantages. See the [module documentation](self).
pub fn grpo(rewards: &[f64], groups: &[u32], config: &GrpoConfig) -> Result<GroupAdvantages> {
    named("grpo", rewards, groups, config)
}

/// The same under another name, for the estimators that differ from GRPO by their groups alone.
pub(super) fn named(
    estimator: &'static str,
    rewards: &[f64],
    groups: &[u32],
    config: &GrpoConfig,
) -> Result<GroupAdvantages> {
    let members = Members::new(estimator, rewards, groups, config.lone_groups)?;
    let batch = match config.scale_over {
        ScaleOver::Group => None,
        ScaleOver::Batch => {
            let centre = mean(rewards);
            Some(config.std.of(rewards.iter().map(|r| r - centre)))
        }
    };
    let eps = if config.std == Std::None { 0.0 } else { config.eps };
    Ok(members.map(rewards, |earned| {
        let centre = mean(earned);
        let std = batch.unwrap_or_else(|| config.std.of(earned.iter().map(|r| r - centre)));
        earned.iter().map(|r| (r - centre) / (std + eps)).collect()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: &[f64], want: &[f64], tolerance: f64) {
        assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() <= tolerance), "{got:?} instead of {want:?}");
    }

    #[test]
    fn one_group_by_hand() {
        // mean .375, unbiased std sqrt(.6875 / 3) = .4787136; (1 - .375) / .4787146 = 1.30558.
        let got = grpo(&[1.0, 0.0, 0.5, 0.0], &[0; 4], &GrpoConfig::default()).unwrap();
        near(&got.advantage, &[1.30558, -0.783_348, 0.261_116, -0.783_348], 5e-6);
    }

    /// statistics.stdev of Python: round((r - 1) / (stdev(r) + eps), 4), r = [2,2,1,0,0,0,2,1]; stdev = sqrt(6 / 7). The
    /// fourth digit tells the two programs apart.
    #[test]
    fn the_flavours_of_trl_and_verl() {
        let rewards = [2.0, 2.0, 1.0, 0.0, 0.0, 0.0, 2.0, 1.0];
        for (eps, a) in [(1e-4, 1.08), (1e-6, 1.0801)] {
            let got = grpo(&rewards, &[3; 8], &GrpoConfig { eps, ..GrpoConfig::default() }).unwrap();
            near(&got.advantage, &[a, a, 0.0, -a, -a, -a, a, 0.0], 5e-5);
        }
        assert_eq!(GrpoConfig::default().eps, 1e-6, "verl's");
        let bare = GrpoConfig { std: Std::None, ..GrpoConfig::default() };
        let got = grpo(&rewards, &[3; 8], &bare).unwrap();
        assert_eq!(got.advantage, [1.0, 1.0, 0.0, -1.0, -1.0, -1.0, 1.0, 0.0]);
    }

    #[test]
    fn a_biased_deviation_and_the_deviation_of_the_batch() {
        let rewards = [1.0, 0.0, 3.0, 1.0];
        let groups = [0, 0, 1, 1];
        let biased = GrpoConfig { std: Std::Biased, eps: 0.0, ..GrpoConfig::default() };
        near(&grpo(&rewards, &groups, &biased).unwrap().advantage, &[1.0, -1.0, 1.0, -1.0], 1e-12);
        // The batch has mean 1.25 and biased variance 4.75 / 4, so std = 1.0897247.
        let batch = GrpoConfig { scale_over: ScaleOver::Batch, ..biased };
        let got = grpo(&rewards, &groups, &batch).unwrap().advantage;
        near(&got, &[0.458_831, -0.458_831, 0.917_663, -0.917_663], 1e-6);
    }

    #[test]
    fn a_uniform_group_is_reported_and_exactly_zero() {
        let got = grpo(&[0.1, 0.1, 0.1, 1.0, 0.0], &[5, 5, 5, 2, 2], &GrpoConfig::default()).unwrap();
        assert_eq!(got.uniform, [5]);
        assert_eq!(got.advantage[..3], [0.0; 3]);
        assert_eq!(got.uniform_share(), 0.5);
    }

    #[test]
    fn a_group_of_one_is_refused_with_the_way_out() {
        let refused = grpo(&[1.0, 0.0, 1.0], &[0, 0, 1], &GrpoConfig::default()).unwrap_err().to_string();
        assert!(refused.contains("group 1") && refused.contains("group_size"), "{refused}");
    }
}
