//! REINFORCE++: discounted returns, normalised over the whole batch; with or without a group baseline.
//!
//! # What it is
//!
//! A critic-free estimator that takes its statistics from the batch instead of from small groups. The baseline variant
//! subtracts the group's mean first and leaves the scale to the batch.
//!
//! # Objective
//!
//! ```text
//! plain      A_k = G_k                       G_k = r_k + gamma_b G_k'
//! baseline   A_k = R_episode - mean_group R
//! both       A'  = (A - mean_batch A) / (std_batch A + eps)
//! ```
//!
//! # When to use it, when not
//!
//! Plain: one sample per task is enough, and a per-token KL in the reward keeps its place in time. Baseline: groups of
//! at least two, tasks of uneven difficulty. With a batch of a handful of sequences the statistics are noise; use
//! [`rloo`](super::rloo).
//!
//! # Shapes, units, errors
//!
//! One advantage per element of the chain, dimensionless, 0 outside the loss. The statistics count tokens, so that long
//! answers weigh more. Refuses what [`monte_carlo`](super::monte_carlo) refuses; the baseline variant refuses groups of
//! one.
//!
//! # References
//!
//! Hu et al. 2025, arXiv 2501.03262. As in verl the deviation is unbiased.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::advantage::reinforce_pp::{ReinforcePpConfig, reinforce_pp};
//! use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord, TurnIds, TurnRecord};
//! let episode = |episode, reward| {
//!     let ids = TurnIds { episode, ..TurnIds::default() };
//!     let turn = TurnRecord { ids, logp: vec![-0.1], in_loss: vec![true], reward };
//!     EpisodeRecord { turns: vec![turn], close: Close::End }
//! };
//! let chain = Chain::<f64>::from_episodes([episode(0, 1.0), episode(1, 0.0)])?;
//! let a = reinforce_pp(&chain, &ReinforcePpConfig::default())?;
//! assert!(a[0] == -a[1] && (a[0] - 0.5_f64.sqrt()).abs() < 1e-6);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::dr_grpo::{DrGrpoConfig, dr_grpo};
use super::gae::PerBorder;
use super::group::{Std, episode_groups};
use super::monte_carlo::{MonteCarloConfig, monte_carlo};
use super::normalise::{NormaliseConfig, normalise};
use crate::Result;
use crate::trajectory::{Chain, Real};

/// Settings of [`reinforce_pp`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReinforcePpConfig {
    /// Discounts of the plain variant. Default 1 at every border.
    pub gamma: PerBorder,
    /// Subtract the mean of the task's group, and drop the discount. Default false.
    pub baseline: bool,
    /// Added to the deviation of the batch. Default 1e-8.
    pub eps: f64,
}

impl Default for ReinforcePpConfig {
    fn default() -> Self {
        Self { gamma: PerBorder::flat(1.0), baseline: false, eps: 1e-8 }
    }
}

/// Batch-normalised advantages. See the [module documentation](self).
pub fn reinforce_pp<F: Real>(chain: &Chain<F>, config: &ReinforcePpConfig) -> Result<Vec<F>> {
    let advantage = if config.baseline {
        let centred = dr_grpo(&chain.episode_returns(), &episode_groups(chain), &DrGrpoConfig::default())?;
        chain.spread_episodes(&centred.advantage)?
    } else {
        monte_carlo(chain, &MonteCarloConfig { gamma: config.gamma })?.returns
    };
    normalise(chain, &advantage, &NormaliseConfig { std: Std::Unbiased, eps: config.eps, ..NormaliseConfig::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trajectory::{Close, EpisodeRecord, TurnIds, TurnRecord};

    /// Episodes of one turn: (group, tokens, reward).
    fn batch(episodes: &[(u32, usize, f64)]) -> Chain<f64> {
        let record = |(episode, &(group, tokens, reward)): (usize, &(u32, usize, f64))| {
            let ids = TurnIds { episode: episode as u32, group, ..TurnIds::default() };
            let turn = TurnRecord { ids, logp: vec![-0.1; tokens], in_loss: vec![true; tokens], reward };
            EpisodeRecord { turns: vec![turn], close: Close::End }
        };
        Chain::from_episodes(episodes.iter().enumerate().map(record)).unwrap()
    }

    #[test]
    fn plain_by_hand() {
        // gamma .5: returns [.5, 1, 0], mean .5, unbiased std .5, so [0, 1, -1].
        let config = ReinforcePpConfig { gamma: PerBorder::flat(0.5), eps: 0.0, ..ReinforcePpConfig::default() };
        assert_eq!(reinforce_pp(&batch(&[(0, 2, 1.0), (0, 1, 0.0)]), &config).unwrap(), [0.0, 1.0, -1.0]);
    }

    #[test]
    fn the_baseline_is_the_group_and_the_scale_the_batch() {
        // Centred [.5, -.5] and [2, -2]; mean 0; unbiased std sqrt((.5 + 8) / 3) = 1.6832508.
        let config = ReinforcePpConfig { baseline: true, eps: 0.0, ..ReinforcePpConfig::default() };
        let got = reinforce_pp(&batch(&[(0, 1, 1.0), (0, 1, 0.0), (1, 1, 4.0), (1, 1, 0.0)]), &config).unwrap();
        for (g, w) in got.iter().zip([0.297_044_3, -0.297_044_3, 1.188_177_1, -1.188_177_1]) {
            assert!((g - w).abs() < 1e-7, "{got:?}");
        }
        assert!(reinforce_pp(&batch(&[(0, 1, 1.0), (1, 1, 0.0)]), &config).is_err());
    }
}
