//! # What it is
//! PPO's clipped surrogate with a second bound for bad actions that became much more likely.
//!
//! # Objective (formula)
//! ```text
//! l = max( -ρ A, -clip(ρ, 1 - ε_low, 1 + ε_high) A )
//! L = agg( A < 0 ? min(l, -c A) : l ),   c > 1
//! ```
//!
//! # When to use it, when not
//! With data several updates old, or a sampler that differs from the trainer: plain PPO's loss grows without limit for
//! A < 0, ρ → ∞. Of no effect while ratios stay below c. TRL's two-sided `delta` is the same rule when δ > 1 + ε_high.
//!
//! # Shapes, units, errors
//! As [`ppo_clip`](mod@super::ppo_clip); c must exceed 1 + ε_high, or it would undo the first bound.
//!
//! # References
//! Ye et al., arXiv 1912.09729. verl `clip_ratio_c` (3.0; 10 in the DAPO recipe), TRL `delta`.
//!
//! # Example
//! ```
//! use marft_algorithms::loss::{DualClip, PolicyBatch, dual_clip};
//! let new = tch::Tensor::from_slice(&[10_f64.ln()]).set_requires_grad(true);
//! let batch = PolicyBatch::new(&[0.0], &[-1.0], &[true], &[1]);
//! let out = dual_clip(&new, &batch, &DualClip::default())?;
//! assert_eq!((out.value, out.diagnostics.dual_clip), (3.0, 1.0)); // 10 without the second bound
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]
#![expect(clippy::needless_bitwise_bool, reason = "a branch keeps the fused loop from vectorising")]

use tch::Tensor;

use super::aggregate::Aggregation;
use super::batch::PolicyBatch;
use super::clipped_settings::clipped_settings;
use super::error::{LossError, within};
use super::fused::{Objective, Term};
use super::lane::Lane;
use super::policy::{PolicyLoss, policy_loss};
use super::ppo_clip::Clip;

clipped_settings! {
    /// Settings of [`dual_clip`]. Defaults: ε_low 0.2, ε_high the same.
    DualClip, clip_high: Option<f64>,
    /// c, the bound on the ratio of a bad action. Default 3.
    #[serde(alias = "delta", alias = "clip_ratio_c")]
    dual_clip: f64,
    /// How elements become one number. Default `token-mean`.
    #[serde(alias = "loss_agg_mode")]
    aggregation: Aggregation,
}

impl Default for DualClip {
    fn default() -> Self {
        Self { clip_low: 0.2, clip_high: None, dual_clip: 3.0, aggregation: Aggregation::TokenMean }
    }
}

/// The clipped surrogate with a second bound. See the [module documentation](self).
pub fn dual_clip<F: Lane>(
    logp_new: &Tensor,
    batch: &PolicyBatch<'_, F>,
    config: &DualClip,
) -> crate::Result<PolicyLoss> {
    let objective = Dual::new(Clip::new(config.clip_low, config.clip_high)?, config.dual_clip)?;
    Ok(policy_loss(logp_new, batch, config.aggregation, objective)?)
}

/// The clipped objective with its second bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dual {
    clip: Clip,
    bound: f64,
}

impl Dual {
    pub(crate) fn new(clip: Clip, bound: f64) -> Result<Self, LossError> {
        let hint = "it must lie above the upper clip; 3 is usual, and a loss without it is `ppo_clip`";
        within("dual_clip", bound, bound > clip.ceiling && bound.is_finite(), "(1 + clip_high, inf)", hint)?;
        Ok(Self { clip, bound })
    }
}

impl<F: Lane> Objective<F, 5> for Dual {
    const EXTREMES: bool = true;

    #[inline(always)]
    fn term<const FUSED: bool>(self, new: F, old: F, advantage: F) -> Term<F, 5> {
        let Term { loss, grad, stats: [log, k3, low, high] } = self.clip.term::<FUSED>(new, old, advantage);
        let limit = -F::narrow(self.bound) * advantage;
        let bounded = (advantage < <F as Lane>::ZERO) & (loss > limit);
        Term {
            loss: if bounded { limit } else { loss },
            grad: if bounded { <F as Lane>::ZERO } else { grad },
            stats: [log, k3, low, high, F::indicator(bounded)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};
    use crate::loss::{PpoClip, ppo_clip};

    /// By hand, c = 3: ρ = 10, A = -1 gives 3 instead of 10, without gradient; ρ = 2, A = -1 gives 2; ρ = 10, A = 1
    /// gives -1.2 as before.
    #[test]
    fn only_bad_actions_are_bounded() {
        let new = variable(&[10f64.ln(), 2f64.ln(), 10f64.ln()]);
        let batch = PolicyBatch::new(&[0.0; 3], &[-1.0, -1.0, 1.0], &[true; 3], &[3]);
        let out = dual_clip(&new, &batch, &DualClip::default()).unwrap();
        assert_close(&[out.value], &[(3.0 + 2.0 - 1.2) / 3.0], 1e-12);
        assert_close(&gradient(&out.loss, &new), &[0.0, 2.0 / 3.0, 0.0], 1e-12);
        assert_close(&[out.diagnostics.dual_clip], &[1.0 / 3.0], 1e-12);
    }

    #[test]
    fn small_ratios_give_plain_ppo() {
        let new = variable(&[-0.7, -1.1, -0.3]);
        let batch = PolicyBatch::new(&[-0.8, -1.0, -0.9], &[0.9, -0.4, -1.0], &[true; 3], &[3]);
        let dual = dual_clip(&new, &batch, &DualClip::default()).unwrap();
        let plain = ppo_clip(&new, &batch, &PpoClip::default()).unwrap();
        assert_eq!(dual.value, plain.value);
        assert_eq!(gradient(&dual.loss, &new), gradient(&plain.loss, &new));
    }

    #[test]
    fn a_bound_inside_the_clip_is_refused() {
        let batch = PolicyBatch::new(&[0.0], &[0.0], &[true], &[1]);
        let config = DualClip { dual_clip: 1.1, ..DualClip::default() };
        assert!(dual_clip(&variable(&[0.0]), &batch, &config).is_err());
    }
}
