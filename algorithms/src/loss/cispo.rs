//! # What it is
//! REINFORCE weighted by a clipped, detached importance ratio: the clip bounds the weight, never the gradient.
//!
//! # Objective (formula)
//! ```text
//! L = agg( -sg( clip(ρ, ratio_min, ratio_max) ) A log π_new ),   sg = no gradient
//! ```
//!
//! # When to use it, when not
//! Where PPO's clip silences exactly the rare tokens that matter ("wait", "however"): here every token keeps a
//! gradient. It trusts stale data more than PPO does; keep ρ moderate.
//!
//! # Shapes, units, errors
//! As [`ppo_clip`](mod@super::ppo_clip). The bounds are on the ratio itself: TRL's `epsilon_high` = 5.0 is `ratio_max`
//! = 5.0; verl's clip 10 / 0.2 is `ratio_min` = 0 and `ratio_max` = 1.2.
//!
//! # References
//! MiniMax-M1, arXiv 2506.13585. TRL `loss_type = "cispo"`; verl `loss_mode = cispo`.
//!
//! # Example
//! ```
//! use marft_algorithms::loss::{Cispo, PolicyBatch, cispo};
//! let new = tch::Tensor::from_slice(&[-0.5_f64]).set_requires_grad(true);
//! let batch = PolicyBatch::new(&[-3.5], &[2.0], &[true], &[1]); // ratio exp(3) = 20, clipped to 5
//! assert_eq!(cispo(&new, &batch, &Cispo::default())?.value, -5.0 * 2.0 * -0.5);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]

use serde::Deserialize;
use tch::Tensor;

use super::aggregate::Aggregation;
use super::batch::PolicyBatch;
use super::error::within;
use super::fused::{Objective, Term};
use super::lane::Lane;
use super::policy::{PolicyLoss, Ratio, STATS, policy_loss, ratio};

/// Settings of [`cispo`].
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cispo {
    /// The smallest weight. Default 0: no lower bound.
    pub ratio_min: f64,
    /// The largest weight. Default 5, TRL's.
    pub ratio_max: f64,
    /// How tokens become one number. Default `token-mean`.
    #[serde(alias = "loss_agg_mode")]
    pub aggregation: Aggregation,
}

impl Default for Cispo {
    fn default() -> Self {
        Self { ratio_min: 0.0, ratio_max: 5.0, aggregation: Aggregation::TokenMean }
    }
}

/// The CISPO loss. See the [module documentation](self).
pub fn cispo<F: Lane>(logp_new: &Tensor, batch: &PolicyBatch<'_, F>, config: &Cispo) -> crate::Result<PolicyLoss> {
    let Cispo { ratio_min, ratio_max, .. } = *config;
    let hint = "bounds on the ratio itself, for example 0 and 5";
    within("ratio_min", ratio_min, (0.0..=1.0).contains(&ratio_min), "[0, 1]", hint)?;
    within("ratio_max", ratio_max, ratio_max >= 1.0 && ratio_max.is_finite(), "[1, inf)", hint)?;
    Ok(policy_loss(logp_new, batch, config.aggregation, *config)?)
}

impl<F: Lane> Objective<F, STATS> for Cispo {
    const EXTREMES: bool = true;

    #[inline(always)]
    fn term<const FUSED: bool>(self, new: F, old: F, advantage: F) -> Term<F, STATS> {
        let (floor, ceiling) = (F::narrow(self.ratio_min), F::narrow(self.ratio_max));
        let Ratio { log, parts, .. } = ratio::<F, FUSED>(new, old);
        let grad = -parts.exp.least(ceiling).most(floor) * advantage;
        let (low, high) = (F::indicator(parts.exp < floor), F::indicator(parts.exp > ceiling));
        Term { loss: grad * new, grad, stats: [log, parts.k3, low, high] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    /// By hand with bounds 0.5 and 1.5: ρ = 2, 0.25, 1 and A = 1, 1, -2.
    #[test]
    fn clipped_tokens_keep_a_gradient() {
        let new = variable(&[2f64.ln() - 1.0, 0.25f64.ln() - 1.0, -1.0]);
        let batch = PolicyBatch::new(&[-1.0; 3], &[1.0, 1.0, -2.0], &[true; 3], &[3]);
        let config = Cispo { ratio_min: 0.5, ratio_max: 1.5, ..Cispo::default() };
        let out = cispo(&new, &batch, &config).unwrap();
        assert_close(&gradient(&out.loss, &new), &[-0.5, -0.5 / 3.0, 2.0 / 3.0], 1e-12);
        let want = (-1.5 * (2f64.ln() - 1.0) - 0.5 * (0.25f64.ln() - 1.0) - 2.0) / 3.0;
        assert_close(&[out.value], &[want], 1e-12);
        assert_close(&[out.diagnostics.clip_low, out.diagnostics.clip_high], &[1.0 / 3.0, 1.0 / 3.0], 1e-12);
    }

    #[test]
    fn bounds_that_exclude_one_are_refused() {
        let batch = PolicyBatch::new(&[0.0], &[0.0], &[true], &[1]);
        assert!(cispo(&variable(&[0.0]), &batch, &Cispo { ratio_max: 0.2, ..Cispo::default() }).is_err());
    }
}
