//! Dr. MAS: every agent is normalised by its own rewards.
//!
//! # What it is
//!
//! Group-relative advantages over the turns of one agent in one task. With one mean for the whole team, an agent that
//! speaks more often, or only in the hard episodes, sees a shifted baseline, and its gradient norm grows with the shift.
//!
//! # Objective
//!
//! ```text
//! A_u = (R_u - mean_k R) / (std_k R + eps)      over the turns u of agent k in the episodes of one task
//! ```
//!
//! R_u is the reward of the episode in which turn u was taken. An agent that spoke twice in an episode counts it twice.
//!
//! # When to use it, when not
//!
//! Teams whose agents are not all active in every episode (routers, search loops). Where each agent speaks once per
//! episode it equals [`grpo`](super::grpo).
//!
//! # Shapes, units, errors
//!
//! One advantage per element of the chain, dimensionless, 0 outside the loss; one [`GroupAdvantages`] entry per turn.
//! Refuses a batch in which no agent of any task has two turns; an agent with a single turn gets 0 and is reported.
//!
//! # References
//!
//! Feng et al. 2026, arXiv 2602.08847.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::advantage::dr_mas::{DrMasConfig, dr_mas};
//! use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord, TurnIds, TurnRecord};
//! let episode = |episode, reward| {
//!     let ids = TurnIds { episode, ..TurnIds::default() };
//!     let turn = TurnRecord { ids, logp: vec![-0.1], in_loss: vec![true], reward };
//!     EpisodeRecord { turns: vec![turn], close: Close::End }
//! };
//! let chain = Chain::<f64>::from_episodes([episode(0, 1.0), episode(1, 0.0)])?;
//! let (a, report) = dr_mas(&chain, &DrMasConfig::default())?;
//! assert!(a[0] > 0.7 && a[1] < -0.7 && report.uniform.is_empty());
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::group::{GroupAdvantages, GroupKey, LoneGroups, Std};
use super::grpo::{GrpoConfig, named};
use crate::Result;
use crate::trajectory::{Chain, Real};

/// Settings of [`dr_mas`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrMasConfig {
    /// Which deviation divides. Default unbiased.
    pub std: Std,
    /// Added to the deviation, in units of reward. Default 1e-6.
    pub eps: f64,
}

impl Default for DrMasConfig {
    fn default() -> Self {
        Self { std: Std::Unbiased, eps: 1e-6 }
    }
}

/// Agent-wise advantages, and the report on the groups. See the [module documentation](self).
pub fn dr_mas<F: Real>(chain: &Chain<F>, config: &DrMasConfig) -> Result<(Vec<F>, GroupAdvantages)> {
    let episodes = chain.episode_returns();
    let mut rewards = vec![0.0; chain.turns().len()];
    for (turns, &reward) in chain.episodes().zip(&episodes) {
        rewards[turns].fill(reward);
    }
    let config =
        GrpoConfig { std: config.std, eps: config.eps, lone_groups: LoneGroups::Zero, ..GrpoConfig::default() };
    let groups = named("dr_mas", &rewards, &GroupKey::Agent.turns(chain), &config)?;
    Ok((chain.spread_turns(&groups.advantage)?, groups))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trajectory::{Close, EpisodeRecord, TurnIds, TurnRecord};

    #[test]
    fn the_baseline_is_that_of_the_agent() {
        // Agent 1 speaks in episodes 1 and 2 alone, which earned 0 and 1; agent 0 in all three, which earned 1, 0, 1.
        let episode = |episode, agents: &[u32], reward| {
            let last = agents.len() - 1;
            let turn = |(at, &agent): (usize, &u32)| TurnRecord {
                ids: TurnIds { episode, agent, ..TurnIds::default() },
                logp: vec![-0.1],
                in_loss: vec![true],
                reward: if at == last { reward } else { 0.0 },
            };
            EpisodeRecord { turns: agents.iter().enumerate().map(turn).collect(), close: Close::End }
        };
        let chain =
            Chain::<f64>::from_episodes([episode(0, &[0], 1.0), episode(1, &[0, 1], 0.0), episode(2, &[0, 1], 1.0)])
                .unwrap();
        let (got, report) = dr_mas(&chain, &DrMasConfig { std: Std::None, eps: 0.0 }).unwrap();
        let want = [1.0 / 3.0, -2.0 / 3.0, -0.5, 1.0 / 3.0, 0.5];
        assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-12), "{got:?}");
        assert_eq!(report.groups, 2);
    }
}
