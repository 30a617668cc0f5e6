//! # What it is
//! Group sequence policy optimisation: one ratio per sequence, the geometric mean of its tokens' ratios.
//!
//! # Objective (formula)
//! ```text
//! s_i = exp( 1/n_i Σ_t (log π_new - log π_old) )
//! L = 1/S Σ_i 1/n_i Σ_t max( -s_i A_t, -clip(s_i, 1 - ε_low, 1 + ε_high) A_t )
//! ```
//! The gradient by a token's log-probability is -s_i A_t (GSPO-token): where all tokens of a sequence have the same
//! advantage this is the gradient of the sequence ratio; where they differ, each token answers for its own.
//!
//! # When to use it, when not
//! Long answers and mixture-of-experts models, where single-token ratios are noise. The clip range is three orders of
//! magnitude smaller than PPO's, because a mean of log-ratios is that much smaller.
//!
//! # Shapes, units, errors
//! As [`ppo_clip`](mod@super::ppo_clip). Every sequence must be whole: a mean over half a sequence is another ratio.
//! The statistics of the report are those of the sequence ratio, each sequence counted once per token.
//!
//! # References
//! Zheng et al., arXiv 2507.18071. TRL `importance_sampling_level = "sequence"`; verl `loss_mode = gspo`.
//!
//! # Example
//! ```
//! use marft_algorithms::loss::{Gspo, PolicyBatch, gspo};
//! let new = tch::Tensor::from_slice(&[-1.0002_f64, -0.9996]).set_requires_grad(true);
//! let batch = PolicyBatch::new(&[-1.0, -1.0], &[1.0, 1.0], &[true; 2], &[2]);
//! let out = gspo(&new, &batch, &Gspo::default())?;
//! assert!((out.value + 0.0001_f64.exp()).abs() < 1e-12);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]

use tch::Tensor;

use super::aggregate::Aggregation;
use super::batch::PolicyBatch;
use super::clipped_settings::clipped_settings;
use super::fused::{Objective, Sums, Term};
use super::lane::Lane;
use super::policy::{PolicyLoss, Ratio, STATS, ratio, walked_policy_loss};
use super::ppo_clip::Clip;
use super::sequences::{Sequences, Shared};

clipped_settings! {
    /// Settings of [`gspo`]. Defaults: ε_low 3e-4, ε_high 4e-4.
    Gspo, clip_high: f64,
    /// How tokens become one number. Default `seq-mean-token-mean`.
    #[serde(alias = "loss_agg_mode")]
    aggregation: Aggregation,
}

impl Default for Gspo {
    fn default() -> Self {
        Self { clip_low: 3e-4, clip_high: 4e-4, aggregation: Aggregation::SeqMeanTokenMean }
    }
}

/// The GSPO loss. See the [module documentation](self).
pub fn gspo<F: Lane>(logp_new: &Tensor, batch: &PolicyBatch<'_, F>, config: &Gspo) -> crate::Result<PolicyLoss> {
    let objective = Clip::new(config.clip_low, Some(config.clip_high))?;
    let walk = Sequences(SharedClip(objective));
    Ok(walked_policy_loss(logp_new, batch, config.aggregation, walk, ("other", None))?)
}

/// The clipped surrogate of a ratio that is given, negative where it is beyond its limit and has no gradient. What it says of
/// the ratio itself is counted by sequence.
#[derive(Clone, Copy)]
struct SharedClip(Clip);

impl<F: Lane> Objective<F, STATS> for SharedClip {
    #[inline(always)]
    fn term<const FUSED: bool>(self, _: F, shared: F, advantage: F) -> Term<F, STATS> {
        let zero = <F as Lane>::ZERO;
        let (loss, grad, low, high) = self.0.surrogate(shared.most(-shared), shared > zero, advantage);
        Term { loss, grad, stats: [zero, zero, F::indicator(low), F::indicator(high)] }
    }
}

impl<F: Lane> Shared<F, STATS> for SharedClip {
    /// The mean ratio.
    #[inline(always)]
    fn number(self, log_ratios: f64, tokens: usize) -> (F, Sums<STATS>) {
        let (count, zero) = (tokens as f64, <F as Lane>::ZERO);
        let Ratio { log, parts, live } = ratio::<F, false>(F::narrow(log_ratios / count.max(1.0)), zero);
        let (mean, mut sums) = (log.wide(), Sums::new());
        (sums.stats[0], sums.stats[1]) = (mean * count, parts.k3.wide() * count);
        (sums.min, sums.max) = (mean.min(0.0), mean.max(0.0));
        (if live { parts.exp } else { -parts.exp }, sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    /// By hand: log-ratios 0.3 and -0.1 (mean 0.1) and 0.5 alone; ε = 0.2. Sequence 1: s = exp(0.1) inside, A = 1;
    /// sequence 2: s = exp(0.5) above, A = 1, clipped to 1.2 without gradient. Masked tokens hold junk.
    #[test]
    fn one_ratio_per_sequence() {
        let new = variable(&[-0.7, -1.1, f64::NAN, -0.5]);
        let mask = [true, true, false, true];
        let batch = PolicyBatch::new(&[-1.0, -1.0, 5.0, -1.0], &[1.0; 4], &mask, &[3, 1]);
        let config = Gspo { clip_low: 0.2, clip_high: 0.2, ..Gspo::default() };
        let out = gspo(&new, &batch, &config).unwrap();
        let s = 0.1f64.exp();
        assert_close(&[out.value], &[-(s + 1.2) / 2.0], 1e-12);
        assert_close(&gradient(&out.loss, &new), &[-s / 4.0, -s / 4.0, 0.0, 0.0], 1e-12);
        assert_close(&[out.diagnostics.clip_high], &[1.0 / 3.0], 1e-12);
    }

    /// With one token per sequence it is PPO.
    #[test]
    fn single_tokens_give_ppo() {
        use crate::loss::{PpoClip, ppo_clip};
        let new = variable(&[-0.7, -1.1, -0.3]);
        let batch = PolicyBatch::new(&[-0.8, -1.0, -0.9], &[0.9, -0.4, 1.0], &[true; 3], &[1, 1, 1]);
        let ours = gspo(&new, &batch, &Gspo { clip_low: 0.2, clip_high: 0.2, ..Gspo::default() }).unwrap();
        let ppo = ppo_clip(&new, &batch, &PpoClip::default()).unwrap();
        assert_close(&[ours.value], &[ppo.value], 1e-12);
        assert_close(&gradient(&ours.loss, &new), &gradient(&ppo.loss, &new), 1e-12);
    }

    #[test]
    fn a_bad_token_is_named_and_not_its_neighbours() {
        let new = variable(&[-0.7, f64::INFINITY]);
        let batch = PolicyBatch::new(&[-0.8, -1.0], &[0.9, -0.4], &[true; 2], &[2]);
        let message = gspo(&new, &batch, &Gspo::default()).unwrap_err().to_string();
        assert!(message.starts_with("logp_new is inf at token 1"), "{message}");
    }
}
