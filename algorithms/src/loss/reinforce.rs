//! # What it is
//! The plain policy gradient: log-probability times advantage, without a ratio.
//!
//! # Objective (formula)
//! ```text
//! L = agg( -A log π_new )
//! ```
//!
//! # When to use it, when not
//! One update per batch, on-policy: then it has the gradient of PPO, GRPO and RLOO alike. A second update on the same
//! batch is biased; take [`ppo_clip`](mod@super::ppo_clip). `PolicyBatch::weight` turns it into an importance-weighted
//! policy gradient.
//!
//! # Shapes, units, errors
//! As [`ppo_clip`](mod@super::ppo_clip). `logp_old` enters the statistics only.
//!
//! # References
//! Williams, Machine Learning 8 (1992). RLOO: arXiv 2402.14740. REINFORCE++: arXiv 2501.03262.
//!
//! # Example
//! ```
//! use marft_algorithms::loss::{PolicyBatch, Reinforce, reinforce};
//! let new = tch::Tensor::from_slice(&[-0.5_f64, -1.5]).set_requires_grad(true);
//! let batch = PolicyBatch::new(&[-0.5, -1.5], &[1.0, -1.0], &[true; 2], &[2]);
//! assert_eq!(reinforce(&new, &batch, &Reinforce::default())?.value, (0.5 - 1.5) / 2.0);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]

use serde::Deserialize;
use tch::Tensor;

use super::aggregate::Aggregation;
use super::batch::PolicyBatch;
use super::fused::{Objective, Term};
use super::lane::Lane;
use super::policy::{PolicyLoss, STATS, policy_loss, ratio, without_clip};

/// Settings of [`reinforce`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reinforce {
    /// How tokens become one number. Default `token-mean`.
    #[serde(alias = "loss_agg_mode")]
    pub aggregation: Aggregation,
}

/// The policy gradient. See the [module documentation](self).
pub fn reinforce<F: Lane>(
    logp_new: &Tensor,
    batch: &PolicyBatch<'_, F>,
    config: &Reinforce,
) -> crate::Result<PolicyLoss> {
    Ok(policy_loss(logp_new, batch, config.aggregation, *config)?)
}

impl<F: Lane> Objective<F, STATS> for Reinforce {
    const EXTREMES: bool = true;

    #[inline(always)]
    fn term<const FUSED: bool>(self, new: F, old: F, advantage: F) -> Term<F, STATS> {
        without_clip(-advantage * new, -advantage, &ratio::<F, FUSED>(new, old))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};
    use crate::loss::{PpoClip, ppo_clip};

    /// On-policy it has PPO's gradient, though not its value.
    #[test]
    fn on_policy_it_has_the_gradient_of_ppo() {
        let logp = [-0.7, -1.1, -0.3];
        let new = variable(&logp);
        let batch = PolicyBatch::new(&logp, &[0.9, -0.4, 1.0], &[true; 3], &[1, 2]);
        let out = reinforce(&new, &batch, &Reinforce::default()).unwrap();
        let ppo = ppo_clip(&new, &batch, &PpoClip::default()).unwrap();
        assert_close(&gradient(&out.loss, &new), &gradient(&ppo.loss, &new), 1e-15);
        assert_close(&[out.value], &[(0.63 - 0.44 + 0.3) / 3.0], 1e-12);
    }

    #[test]
    fn a_weight_scales_a_token() {
        let new = variable(&[-0.7, -1.1]);
        let batch = PolicyBatch::new(&[-0.7, -1.1], &[1.0, 1.0], &[true; 2], &[2]).weighted(&[2.0, 0.0]);
        let out = reinforce(&new, &batch, &Reinforce::default()).unwrap();
        assert_close(&gradient(&out.loss, &new), &[-1.0, 0.0], 1e-15);
    }
}
