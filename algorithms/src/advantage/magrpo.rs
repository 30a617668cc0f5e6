//! MAGRPO: one group-relative advantage per step for the whole team.
//!
//! # What it is
//!
//! Cooperative agents act jointly; the joint action of a step gets one return, compared with the returns of the other
//! joint actions of the same task at the same step. All agents of the step share the advantage.
//!
//! # Objective
//!
//! ```text
//! R_t = sum of the rewards of step t + gamma R_{t+1}        A_t = R_t - mean_g R      g = (task, step)
//! ```
//!
//! # When to use it, when not
//!
//! Agents without an order that earn one team reward. It cannot tell which agent deserved it: with an order and a
//! critic the chain of [`gae`](super::gae) can.
//!
//! # Shapes, units, errors
//!
//! One advantage per element of the chain, in units of reward (dimensionless with a deviation), 0 outside the loss. A
//! step that only one episode reached gets 0 and is reported; refused when no step was reached twice.
//!
//! # References
//!
//! Liu et al. 2025 (LLM collaboration with multi-agent RL), arXiv 2508.04652. Discount 0.9 as in its program.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::advantage::magrpo::{MagrpoConfig, magrpo};
//! use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord, TurnIds, TurnRecord};
//! let episode = |episode, reward| {
//!     let turn = |agent, reward| {
//!         let ids = TurnIds { episode, agent, ..TurnIds::default() };
//!         TurnRecord { ids, logp: vec![-0.1], in_loss: vec![true], reward }
//!     };
//!     EpisodeRecord { turns: vec![turn(0, 0.0), turn(1, reward)], close: Close::End }
//! };
//! let chain = Chain::<f64>::from_episodes([episode(0, 1.0), episode(1, 0.0)])?;
//! assert_eq!(magrpo(&chain, &MagrpoConfig::default())?.0, [0.5, 0.5, -0.5, -0.5]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::group::{GroupAdvantages, GroupKey, LoneGroups, Std, check_setting, dense};
use super::grpo::{GrpoConfig, named};
use super::turns::joint_returns;
use crate::Result;
use crate::trajectory::{Chain, Real};

/// Settings of [`magrpo`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MagrpoConfig {
    /// Discount per step. Default 0.9.
    pub gamma: f64,
    /// Which deviation divides. Default none.
    pub std: Std,
    /// Added to the deviation, in units of reward. Default 1e-6.
    pub eps: f64,
}

impl Default for MagrpoConfig {
    fn default() -> Self {
        Self { gamma: 0.9, std: Std::None, eps: 1e-6 }
    }
}

/// Joint advantages by step, and the report on the groups (one sample per episode and step). See the
/// [module documentation](self).
pub fn magrpo<F: Real>(chain: &Chain<F>, config: &MagrpoConfig) -> Result<(Vec<F>, GroupAdvantages)> {
    check_setting("gamma", config.gamma, 0.0..=1.0, "[0, 1]", "use 1 for undiscounted returns")?;
    let returns = joint_returns(chain, config.gamma);
    let groups = GroupKey::Turn.turns(chain);
    // One sample per joint action: a step with three agents must not count three times.
    let joint = dense(chain.turns().iter().map(|turn| (turn.ids.episode, turn.ids.step)));
    let mut rewards = Vec::new();
    let mut keys = Vec::new();
    for (turn, &step) in joint.iter().enumerate() {
        if step as usize == rewards.len() {
            rewards.push(returns[turn]);
            keys.push(groups[turn]);
        }
    }
    let grpo = GrpoConfig { std: config.std, eps: config.eps, lone_groups: LoneGroups::Zero, ..GrpoConfig::default() };
    let report = named("magrpo", &rewards, &keys, &grpo)?;
    let per_turn: Vec<f64> = joint.iter().map(|&step| report.advantage[step as usize]).collect();
    Ok((chain.spread_turns(&per_turn)?, report))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trajectory::{Close, EpisodeRecord, TurnIds, TurnRecord};

    #[test]
    fn a_late_step_pays_back_discounted_and_agents_share() {
        let episode = |episode, rewards: [f64; 4]| {
            let turn = |(at, &reward): (usize, &f64)| TurnRecord {
                ids: TurnIds { episode, step: at as u32 / 2, agent: at as u32 % 2, ..TurnIds::default() },
                logp: vec![-0.1],
                in_loss: vec![true],
                reward,
            };
            EpisodeRecord { turns: rewards.iter().enumerate().map(turn).collect(), close: Close::End }
        };
        let chain =
            Chain::<f64>::from_episodes([episode(0, [0.0, 1.0, 0.0, 2.0]), episode(1, [0.0, 0.0, 1.0, 0.0])]).unwrap();
        // Episode 0: R_1 = 2, R_0 = 1 + .9 * 2 = 2.8. Episode 1: R_1 = 1, R_0 = .9. Means 1.5 and 1.85.
        let (got, report) = magrpo(&chain, &MagrpoConfig::default()).unwrap();
        let want = [0.95, 0.95, 0.5, 0.5, -0.95, -0.95, -0.5, -0.5];
        assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-12), "{got:?}");
        assert_eq!(report.advantage.len(), 4);
    }
}
