//! Monte-Carlo returns, with the critic as a baseline if there is one.
//!
//! # What it is
//!
//! The discounted sum of the rewards that follow an element, minus its value where a critic gave one. The plain
//! REINFORCE estimator.
//!
//! # Objective
//!
//! ```text
//! G_k = r_k + gamma_b G_k'        A_k = G_k - V_k   (V = 0 without a critic)
//! ```
//!
//! which is [`gae`](super::gae) at lambda = 1. A truncated episode is completed by its bootstrap value.
//!
//! # When to use it, when not
//!
//! Unbiased, and of high variance: short episodes, or as the input of a group or batch normalisation. With a critic
//! that can be trusted, lambda below 1 in [`gae`](super::gae) learns faster.
//!
//! # Shapes, units, errors
//!
//! As [`gae`](super::gae::gae); does not ask for values.
//!
//! # References
//!
//! Williams 1992, Machine Learning 8, 229-256.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::advantage::{gae::PerBorder, monte_carlo::{MonteCarloConfig, monte_carlo}};
//! use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord, TurnRecord};
//! let turn = TurnRecord { logp: vec![-0.1; 3], in_loss: vec![true; 3], reward: 1.0, ..TurnRecord::default() };
//! let chain = Chain::<f64>::from_episodes([EpisodeRecord { turns: vec![turn], close: Close::End }])?;
//! let config = MonteCarloConfig { gamma: PerBorder::flat(0.5) };
//! assert_eq!(monte_carlo(&chain, &config)?.returns, [0.25, 0.5, 1.0]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::gae::{Gae, GaeConfig, PerBorder, scan};
use crate::Result;
use crate::trajectory::{Chain, Real};

/// Settings of [`monte_carlo`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonteCarloConfig {
    /// Discounts. Default 1 at every border.
    pub gamma: PerBorder,
}

impl Default for MonteCarloConfig {
    fn default() -> Self {
        Self { gamma: PerBorder::flat(1.0) }
    }
}

/// Discounted returns, and advantages over the critic's values. See the [module documentation](self).
pub fn monte_carlo<F: Real>(chain: &Chain<F>, config: &MonteCarloConfig) -> Result<Gae<F>> {
    let config = GaeConfig { gamma: config.gamma, lambda: PerBorder::flat(1.0), cut_after_reset: false };
    let mut out = Gae::default();
    if chain.value().is_empty() {
        scan(chain, &vec![F::default(); chain.len()], &config, &mut out)?;
    } else {
        scan(chain, chain.value(), &config, &mut out)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trajectory::{Close, EpisodeRecord, TurnRecord};

    #[test]
    fn a_critic_changes_the_advantage_and_not_the_return() {
        let turn = TurnRecord { logp: vec![-0.1; 3], in_loss: vec![true; 3], reward: 1.0, ..TurnRecord::default() };
        let close = Close::Truncated { bootstrap: 2.0 };
        let mut chain = Chain::<f64>::from_episodes([EpisodeRecord { turns: vec![turn], close }]).unwrap();
        let config = MonteCarloConfig { gamma: PerBorder::flat(0.5) };
        let bare = monte_carlo(&chain, &config).unwrap();
        // 1 + .5 * 2 = 2, then halved twice.
        assert_eq!(bare.returns, [0.5, 1.0, 2.0]);
        assert_eq!(bare.advantage, bare.returns);
        chain.set_values(vec![0.25, 0.5, 0.75]).unwrap();
        let with_critic = monte_carlo(&chain, &config).unwrap();
        assert_eq!(with_critic.returns, bare.returns);
        assert_eq!(with_critic.advantage, [0.25, 0.5, 1.25]);
    }
}
