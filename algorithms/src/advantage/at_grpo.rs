//! AT-GRPO: groups by agent and turn.
//!
//! # What it is
//!
//! In a team the prompt of an agent depends on its role and on what was said before, so samples of one task are not
//! samples of one prompt. AT-GRPO compares only turns of the same agent at the same step of the same task, each with the
//! reward given to that turn.
//!
//! # Objective
//!
//! ```text
//! A_u = (r_u - mean_g r) / (std_g r + eps)      g = (task, agent, step)
//! ```
//!
//! r_u is the reward placed on the turn; mix a team part and an own part with
//! [`own_team_mix`](crate::credit::own_team_mix). `returns = true` uses the sum of the rewards from the turn on instead.
//!
//! # When to use it, when not
//!
//! Rewards per turn, and several samples of the same turn (tree-structured sampling: branch, score, go on with the
//! best). When only the episode is rewarded, place its reward on the turns first, or use [`dr_mas`](super::dr_mas).
//!
//! # Shapes, units, errors
//!
//! One advantage per element of the chain, dimensionless, 0 outside the loss. A turn without a partner gets 0 and is
//! reported; refused when no turn has one.
//!
//! # References
//!
//! Zhao et al. 2025 (Stronger-MAS), arXiv 2510.11062.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::advantage::at_grpo::{AtGrpoConfig, at_grpo};
//! use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord, TurnIds, TurnRecord};
//! let episode = |episode, reward| {
//!     let ids = TurnIds { episode, ..TurnIds::default() };
//!     let turn = TurnRecord { ids, logp: vec![-0.1], in_loss: vec![true], reward };
//!     EpisodeRecord { turns: vec![turn], close: Close::End }
//! };
//! let chain = Chain::<f64>::from_episodes([episode(0, 1.0), episode(1, 0.0)])?;
//! let (a, _) = at_grpo(&chain, &AtGrpoConfig::default())?;
//! assert!(a[0] > 0.7 && a[1] == -a[0]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::group::{GroupAdvantages, GroupKey, LoneGroups, Std, check_setting};
use super::grpo::{GrpoConfig, named};
use super::turns::returns_to_go;
use crate::Result;
use crate::trajectory::{Chain, Real};

/// Settings of [`at_grpo`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AtGrpoConfig {
    /// Which deviation divides. Default unbiased.
    pub std: Std,
    /// Added to the deviation, in units of reward. Default 1e-6.
    pub eps: f64,
    /// Compare the rewards from the turn on instead of the reward of the turn. Default false.
    pub returns: bool,
    /// Discount per step of those returns. Default 1.
    pub gamma: f64,
}

impl Default for AtGrpoConfig {
    fn default() -> Self {
        Self { std: Std::Unbiased, eps: 1e-6, returns: false, gamma: 1.0 }
    }
}

/// Advantages by agent and turn, and the report on the groups. See the [module documentation](self).
pub fn at_grpo<F: Real>(chain: &Chain<F>, config: &AtGrpoConfig) -> Result<(Vec<F>, GroupAdvantages)> {
    check_setting("gamma", config.gamma, 0.0..=1.0, "[0, 1]", "use 1 for undiscounted returns")?;
    let rewards = if config.returns { returns_to_go(chain, config.gamma) } else { chain.turn_returns() };
    let grpo = GrpoConfig { std: config.std, eps: config.eps, lone_groups: LoneGroups::Zero, ..GrpoConfig::default() };
    let groups = named("at_grpo", &rewards, &GroupKey::AgentTurn.turns(chain), &grpo)?;
    Ok((chain.spread_turns(&groups.advantage)?, groups))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trajectory::{Close, EpisodeRecord, TurnIds, TurnRecord};

    /// Two episodes of two steps with one agent each step; rewards as given.
    fn chain(rewards: [[f64; 2]; 2]) -> Chain<f64> {
        let episode = |episode: u32| {
            let turn = |step: u32| TurnRecord {
                ids: TurnIds { episode, step, ..TurnIds::default() },
                logp: vec![-0.1],
                in_loss: vec![true],
                reward: rewards[episode as usize][step as usize],
            };
            EpisodeRecord { turns: vec![turn(0), turn(1)], close: Close::End }
        };
        Chain::from_episodes([episode(0), episode(1)]).unwrap()
    }

    #[test]
    fn turns_are_compared_with_the_same_turn_only() {
        let config = AtGrpoConfig { std: Std::None, ..AtGrpoConfig::default() };
        let (got, report) = at_grpo(&chain([[1.0, 10.0], [3.0, 20.0]]), &config).unwrap();
        assert_eq!(got, [-1.0, -5.0, 1.0, 5.0]);
        assert_eq!(report.groups, 2);
    }

    #[test]
    fn returns_reach_back_to_earlier_turns() {
        let config = AtGrpoConfig { std: Std::None, returns: true, gamma: 0.5, ..AtGrpoConfig::default() };
        // Returns [[1 + 5, 10], [3 + 10, 20]].
        let (got, _) = at_grpo(&chain([[1.0, 10.0], [3.0, 20.0]]), &config).unwrap();
        assert_eq!(got, [-3.5, -5.0, 3.5, 5.0]);
    }
}
