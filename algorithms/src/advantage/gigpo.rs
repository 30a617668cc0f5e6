//! GiGPO: groups inside groups, found afterwards by equal states.
//!
//! # What it is
//!
//! Two levels of comparison without a critic: whole episodes of one task, and, inside it, turns that started from the
//! same state (the anchor). Repeated states are found by hashing what the environment showed; no extra roll-outs.
//!
//! # Objective
//!
//! ```text
//! A_u  = A_E(episode of u) + w A_S(u)
//! A_E  = (R - mean_task R) / F            A_S = (G_u - mean_anchor G) / F
//! G_u  = r_u + gamma G_{u+1}              F = std + eps, or 1
//! ```
//!
//! # When to use it, when not
//!
//! Long episodes in environments that revisit states (text games, web pages, tool errors). With free text as state no
//! two anchors are equal and only the episode level is left.
//!
//! # Shapes, units, errors
//!
//! `anchors` has one hash per turn of the chain; turns are compared within task and agent. One advantage per element, 0
//! outside the loss. A turn whose anchor nobody shares gets a step part of 0. Refuses tasks with one episode.
//!
//! # References
//!
//! Feng et al. 2025, arXiv 2505.10978. Defaults gamma 0.95 and w = 1 as there.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::advantage::gigpo::{GigpoConfig, gigpo};
//! use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord, TurnIds, TurnRecord};
//! let episode = |episode, reward| {
//!     let ids = TurnIds { episode, ..TurnIds::default() };
//!     let turn = TurnRecord { ids, logp: vec![-0.1], in_loss: vec![true], reward };
//!     EpisodeRecord { turns: vec![turn], close: Close::End }
//! };
//! let chain = Chain::<f64>::from_episodes([episode(0, 1.0), episode(1, 0.0)])?;
//! let config = GigpoConfig { std: marft_algorithms::advantage::group::Std::None, ..GigpoConfig::default() };
//! assert_eq!(gigpo(&chain, &[7, 7], &config)?.advantage, [1.0, -1.0]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::AdvantageError;
use super::group::{LoneGroups, Std, check_setting, dense, episode_groups, lone_samples};
use super::grpo::{GrpoConfig, named};
use super::turns::returns_to_go;
use crate::Result;
use crate::trajectory::{Chain, Real};

/// Settings of [`gigpo`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GigpoConfig {
    /// Discount per step of the returns compared at an anchor. Default 0.95.
    pub gamma: f64,
    /// Weight of the step part. Default 1.
    pub step_weight: f64,
    /// Which deviation divides, at both levels. Default unbiased.
    pub std: Std,
    /// Added to the deviation, in units of reward. Default 1e-6.
    pub eps: f64,
}

impl Default for GigpoConfig {
    fn default() -> Self {
        Self { gamma: 0.95, step_weight: 1.0, std: Std::Unbiased, eps: 1e-6 }
    }
}

/// What [`gigpo`] returns.
#[derive(Debug, Clone, PartialEq)]
pub struct Gigpo<F = f32> {
    /// One advantage per element.
    pub advantage: Vec<F>,
    /// Tasks whose episodes all earned the same.
    pub uniform: Vec<u32>,
    /// Share of the turns whose anchor at least one other turn shares, in \[0, 1\]; near 0 the step part is idle.
    pub anchored: f64,
}

/// Two-level advantages. See the [module documentation](self).
pub fn gigpo<F: Real>(chain: &Chain<F>, anchors: &[u64], config: &GigpoConfig) -> Result<Gigpo<F>> {
    let turns = chain.turns();
    if anchors.len() != turns.len() {
        return Err(AdvantageError::Length { what: "anchor", got: anchors.len(), want: turns.len() }.into());
    }
    check_setting("gamma", config.gamma, 0.0..=1.0, "[0, 1]", "the paper uses 0.95")?;
    let grpo = GrpoConfig { std: config.std, eps: config.eps, ..GrpoConfig::default() };
    let episodes = named("gigpo", &chain.episode_returns(), &episode_groups(chain), &grpo)?;

    let returns = returns_to_go(chain, config.gamma);
    let groups = dense(turns.iter().zip(anchors).map(|(turn, &anchor)| (turn.ids.group, turn.ids.agent, anchor)));
    let lone = lone_samples(&groups).len();
    let steps = if lone == turns.len() {
        vec![0.0; lone]
    } else {
        named("gigpo", &returns, &groups, &GrpoConfig { lone_groups: LoneGroups::Zero, ..grpo })?.advantage
    };

    let mut per_turn: Vec<f64> = steps.iter().map(|a| config.step_weight * a).collect();
    for (episode, a) in chain.episodes().zip(&episodes.advantage) {
        per_turn[episode].iter_mut().for_each(|turn| *turn += a);
    }
    Ok(Gigpo {
        advantage: chain.spread_turns(&per_turn)?,
        uniform: episodes.uniform,
        anchored: 1.0 - lone as f64 / turns.len() as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trajectory::{Close, EpisodeRecord, TurnIds, TurnRecord};

    fn chain() -> Chain<f64> {
        let episode = |episode, rewards: [f64; 2]| {
            let turn = |(step, &reward): (usize, &f64)| TurnRecord {
                ids: TurnIds { episode, step: step as u32, ..TurnIds::default() },
                logp: vec![-0.1],
                in_loss: vec![true],
                reward,
            };
            EpisodeRecord { turns: rewards.iter().enumerate().map(turn).collect(), close: Close::End }
        };
        Chain::from_episodes([episode(0, [0.0, 1.0]), episode(1, [0.0, 0.0])]).unwrap()
    }

    #[test]
    fn episode_part_plus_step_part_by_hand() {
        // Returns at gamma .5: [.5, 1], [0, 0]. Episode part +-.5. Anchor 1 is shared by the first turns: +-.25.
        let config = GigpoConfig { gamma: 0.5, std: Std::None, ..GigpoConfig::default() };
        let got = gigpo(&chain(), &[1, 2, 1, 3], &config).unwrap();
        assert_eq!(got.advantage, [0.75, 0.5, -0.75, -0.5]);
        assert_eq!(got.anchored, 0.5);
    }

    #[test]
    fn without_equal_anchors_the_episode_part_is_left() {
        let config = GigpoConfig { std: Std::None, ..GigpoConfig::default() };
        let got = gigpo(&chain(), &[1, 2, 3, 4], &config).unwrap();
        assert_eq!(got.advantage, [0.5, 0.5, -0.5, -0.5]);
        assert_eq!(got.anchored, 0.0);
        assert!(gigpo(&chain(), &[1, 2, 3], &config).is_err());
    }
}
