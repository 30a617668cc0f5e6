//! From settings to weights of roll-outs: the rescaling that was chosen, on final advantages.

use super::{Algorithm, PresetError, Rescale};
use crate::Result;
use crate::advantage::group::episode_groups;
use crate::advantage::rescale::Bounds;
use crate::advantage::rescale::entropy::rescale_by_entropy;
use crate::advantage::rescale::pass_rate::rescale_by_pass_rate;
use crate::trajectory::{Chain, Real};

/// What rescaling asks of the episodes of a chain, one entry per episode, in order.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rollouts<'a> {
    /// What each earned, in units of reward (`pass-rate`).
    pub reward: &'a [f64],
    /// Mean entropy of the tokens sampled in each, nats (`entropy`).
    pub entropy: &'a [f64],
}

impl Algorithm {
    /// `advantage`, one per element of `chain`, times the weight of its episode. Signs stay.
    ///
    /// Refuses columns of `rollouts` that are read and not as long as there are episodes, and what
    /// [`rescale`](crate::advantage::rescale) refuses.
    pub fn rescaled<F: Real>(&self, chain: &Chain<F>, mut advantage: Vec<F>, rollouts: Rollouts<'_>) -> Result<Vec<F>> {
        let bounds = Bounds { low: self.rescale_low, high: self.rescale_high };
        let ones = vec![1.0; chain.episodes().count()];
        let factors = match self.rescale {
            Rescale::None => return Ok(advantage),
            Rescale::PassRate => {
                let passed: Vec<bool> = rollouts.reward.iter().map(|reward| *reward >= self.pass_at).collect();
                rescale_by_pass_rate(&ones, &passed, &episode_groups(chain), bounds)?
            }
            Rescale::Entropy => rescale_by_entropy(&ones, rollouts.entropy, bounds)?,
        };
        if advantage.len() != chain.len() {
            let what = "one advantage per element of the chain";
            return Err(PresetError::Missing { estimator: "rescale", what }.into());
        }
        for (episode, factor) in chain.episodes().zip(factors) {
            for element in chain.turns()[episode].iter().flat_map(|turn| turn.range.clone()) {
                advantage[element] = F::narrow(advantage[element].wide() * factor);
            }
        }
        Ok(advantage)
    }
}
