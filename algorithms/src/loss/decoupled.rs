//! # What it is
//! PPO for data from an older policy: the trust region is around a recent *proximal* policy, while an importance weight
//! corrects for the *behaviour* policy that sampled.
//!
//! # Objective (formula)
//! ```text
//! w = exp(log π_prox - log π_behave),  w := 0 where w > cap
//! ρ = exp(log π_new - log π_prox)
//! L = agg( w max( -ρ A, -clip(ρ, 1 - ε_low, 1 + ε_high) A ) )
//! ```
//! A token beyond the cap loses its term and stays in the denominator.
//!
//! # When to use it, when not
//! Asynchronous rollouts with bounded staleness. On fresh data (behaviour = proximal) it is
//! [`ppo_clip`](mod@super::ppo_clip), and the second set of log-probabilities a waste.
//!
//! # Shapes, units, errors
//! As [`ppo_clip`](mod@super::ppo_clip), where the batch's `logp_old` is the *proximal* policy's; `logp_behave` `[n]`,
//! nats, as recorded by the sampler.
//!
//! # References
//! Hilton et al., arXiv 2110.00641; AReaL, arXiv 2505.24298 (`behav_imp_weight_cap` 5).
//!
//! # Example
//! ```
//! use marft_algorithms::loss::{Decoupled, PolicyBatch, decoupled};
//! let new = tch::Tensor::from_slice(&[-1.0_f64]).set_requires_grad(true);
//! let batch = PolicyBatch::new(&[-1.0], &[1.0], &[true], &[1]);
//! assert_eq!(decoupled(&new, &batch, &[-1.0], &Decoupled::default())?.value, -1.0);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]

use tch::Tensor;

use super::aggregate::Aggregation;
use super::batch::PolicyBatch;
use super::clipped_settings::clipped_settings;
use super::error::{positive, same_length};
use super::fused::{Formula, Objective, Term};
use super::lane::Lane;
use super::policy::{PolicyLoss, STATS, ratio, walked_policy_loss};
use super::ppo_clip::Clip;
use super::tokens::Tokens;

clipped_settings! {
    /// Settings of [`decoupled`]. Defaults: ε_low 0.2, ε_high the same.
    Decoupled, clip_high: Option<f64>,
    /// The largest behaviour weight; above it a token is dropped. Default 5.
    #[serde(alias = "behav_imp_weight_cap")]
    cap: f64,
    /// How tokens become one number. Default `token-mean`.
    #[serde(alias = "loss_agg_mode")]
    aggregation: Aggregation,
}

impl Default for Decoupled {
    fn default() -> Self {
        Self { clip_low: 0.2, clip_high: None, cap: 5.0, aggregation: Aggregation::TokenMean }
    }
}

/// The decoupled surrogate. See the [module documentation](self).
pub fn decoupled<F: Lane>(
    logp_new: &Tensor,
    batch: &PolicyBatch<'_, F>,
    logp_behave: &[F],
    config: &Decoupled,
) -> crate::Result<PolicyLoss> {
    positive("cap", config.cap, "the largest importance weight to trust, for example 5")?;
    same_length("logp_behave", logp_behave.len(), batch.logp_old.len())?;
    let objective = Clip::new(config.clip_low, config.clip_high)?;
    let formula = Corrected { objective, cap: F::narrow(config.cap) };
    let behave = ("logp_behave", Some(logp_behave));
    Ok(walked_policy_loss(logp_new, batch, config.aggregation, Tokens(formula), behave)?)
}

/// The clipped surrogate times w, with the behaviour's log-probabilities in the fourth column.
#[derive(Clone, Copy)]
struct Corrected<F> {
    objective: Clip,
    cap: F,
}

impl<F: Lane> Formula<F, STATS> for Corrected<F> {
    const COLUMNS: usize = 4;
    const EXTREMES: bool = true;

    #[inline(always)]
    fn terms<const FUSED: bool>(
        self,
        new: F,
        proximal: F,
        advantage: F,
        behave: F,
    ) -> (Term<F, STATS>, Option<Term<F, 1>>) {
        let Term { loss, grad, stats } = self.objective.term::<FUSED>(new, proximal, advantage);
        let factor = ratio::<F, FUSED>(proximal, behave).parts.exp;
        let w = if factor <= self.cap { factor } else { <F as Lane>::ZERO };
        (Term { loss: loss * w, grad: grad * w, stats }, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    const PROXIMAL: [f64; 4] = [-1.1, -0.4, -1.6, -0.95];
    const ADVANTAGE: [f64; 4] = [1.0, -1.0, 0.5, 2.0];

    /// Fixture `decoupled_ppo`; the gradient by hand: w * (-ρ A) / 4, zero for the dropped token.
    #[test]
    fn the_reference_numbers() {
        let new = variable(&[-1.0, -0.4, -2.0, -0.9]);
        let batch = PolicyBatch::new(&PROXIMAL, &ADVANTAGE, &[true; 4], &[4]);
        let out = decoupled(&new, &batch, &[-1.2, -0.9, -1.5, -3.0], &Decoupled::default()).unwrap();
        assert_close(&[out.value], &[0.031_013_295_670_910_407], 1e-9);
        let weight = [1.105_170_918_075_647_5, 1.648_721_270_700_128_2, 0.904_837_418_035_959_9];
        let ratio = [1.105_170_918_075_647_7, 1.0, 0.670_320_046_035_639_3];
        let want = [-weight[0] * ratio[0] / 4.0, weight[1] * ratio[1] / 4.0, -weight[2] * ratio[2] * 0.5 / 4.0, 0.0];
        assert_close(&gradient(&out.loss, &new), &want, 1e-9);
    }

    #[test]
    fn fresh_data_gives_ppo_and_a_bad_behaviour_is_named() {
        use crate::loss::{PpoClip, ppo_clip};
        let new = variable(&[-1.0, -0.4, -2.0, -0.9]);
        let batch = PolicyBatch::new(&PROXIMAL, &ADVANTAGE, &[true; 4], &[2, 2]);
        let fresh = decoupled(&new, &batch, &PROXIMAL, &Decoupled::default()).unwrap();
        assert_eq!(fresh.value, ppo_clip(&new, &batch, &PpoClip::default()).unwrap().value);
        let bad = [-1.0, -1.0, f64::NEG_INFINITY, -1.0];
        let message = decoupled(&new, &batch, &bad, &Decoupled::default()).unwrap_err().to_string();
        assert!(message.starts_with("logp_behave is -inf at token 2"), "{message}");
    }
}
