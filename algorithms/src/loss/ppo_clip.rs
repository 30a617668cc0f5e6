//! # What it is
//! The clipped surrogate of PPO, at token or at action level, with symmetric or asymmetric bounds ("clip-higher").
//!
//! # Objective (formula)
//! With ρ = exp(log π_new - log π_old) per element:
//! ```text
//! L = agg( max( -ρ A, -clip(ρ, 1 - ε_low, 1 + ε_high) A ) )
//! dL/dlog π_new = -ρ A  where ρ is inside the bounds or the clipped branch is the smaller; else 0
//! ```
//! Token level: one element per token. Action level (MARFT-A): one element per action, its log-probability made by
//! [`action_logprob`](crate::action_logprob); then a "sequence" is the chain of actions that share a mean.
//!
//! # When to use it, when not
//! The default wherever one batch feeds more than one update. For A < 0 and ρ ≫ 1 it is unbounded; with stale data take
//! [`dual_clip`](mod@super::dual_clip). For very long answers whose tokens should share one ratio take
//! [`gspo`](mod@super::gspo).
//!
//! # Shapes, units, errors
//! `logp_new` `[n]` with gradient; columns as in [`PolicyBatch`]; log-probabilities in nats. Log-ratios are limited to
//! ±20. Refused: columns of other lengths, negative bounds, a NaN or infinity in the loss. A batch without a token in
//! the loss gives 0 with zero gradient.
//!
//! # References
//! Schulman et al., arXiv 1707.06347. Clip-higher: DAPO, arXiv 2503.14476. TRL `epsilon`/`epsilon_high`; verl
//! `clip_ratio`/`clip_ratio_low`/`clip_ratio_high`; AReaL `eps_clip`.
//!
//! # Example
//! ```
//! use marft_algorithms::loss::{PolicyBatch, PpoClip, ppo_clip};
//! let new = tch::Tensor::from_slice(&[-0.7_f64, -1.1]).set_requires_grad(true);
//! let batch = PolicyBatch::new(&[-0.8, -1.0], &[0.9, -0.4], &[true, true], &[2]);
//! let out = ppo_clip(&new, &batch, &PpoClip::default())?;
//! out.loss.backward();
//! // (-exp(0.1) * 0.9 + exp(-0.1) * 0.4) / 2
//! assert!((out.value - -0.316_359_429_526_849_55).abs() < 1e-12);
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
use super::policy::{PolicyLoss, Ratio, STATS, policy_loss, ratio};

clipped_settings! {
    /// Settings of [`ppo_clip`]. Defaults: ε_low 0.2, ε_high the same.
    PpoClip, clip_high: Option<f64>,
    /// How elements become one number. Default `token-mean`.
    #[serde(alias = "loss_agg_mode")]
    aggregation: Aggregation,
}

impl Default for PpoClip {
    fn default() -> Self {
        Self { clip_low: 0.2, clip_high: None, aggregation: Aggregation::TokenMean }
    }
}

/// The clipped surrogate. See the [module documentation](self).
pub fn ppo_clip<F: Lane>(logp_new: &Tensor, batch: &PolicyBatch<'_, F>, config: &PpoClip) -> crate::Result<PolicyLoss> {
    let objective = Clip::new(config.clip_low, config.clip_high)?;
    Ok(policy_loss(logp_new, batch, config.aggregation, objective)?)
}

/// The objective with its bounds on the ratio itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clip {
    pub floor: f64,
    pub ceiling: f64,
}

impl Clip {
    pub(crate) fn new(clip_low: f64, clip_high: Option<f64>) -> Result<Self, LossError> {
        let clip_high = clip_high.unwrap_or(clip_low);
        let hint = "a distance from 1, for example 0.2";
        within("clip_low", clip_low, clip_low >= 0.0 && clip_low.is_finite(), "[0, inf)", hint)?;
        within("clip_high", clip_high, clip_high >= 0.0 && clip_high.is_finite(), "[0, inf)", hint)?;
        Ok(Self { floor: 1.0 - clip_low, ceiling: 1.0 + clip_high })
    }
}

/// A clipped token: its loss, its derivative, and whether it was stopped below and above.
pub(crate) type Clipped<F> = (F, F, bool, bool);

impl Clip {
    /// The surrogate of a ratio; without gradient where the ratio is not `live`.
    #[inline(always)]
    pub(crate) fn surrogate<F: Lane>(self, ratio: F, live: bool, advantage: F) -> Clipped<F> {
        let (floor, ceiling, zero) = (F::narrow(self.floor), F::narrow(self.ceiling), <F as Lane>::ZERO);
        let (good, bad) = (advantage > zero, advantage < zero);
        // A good action is stopped above, a bad one below.
        let bound = if good { ratio.least(ceiling) } else { ratio.most(floor) };
        let (stopped, slope) = (bound != ratio, -(ratio * advantage));
        (-(bound * advantage), if live & !stopped { slope } else { zero }, bad & stopped, good & stopped)
    }
}

impl<F: Lane> Objective<F, STATS> for Clip {
    const EXTREMES: bool = true;

    #[inline(always)]
    fn term<const FUSED: bool>(self, new: F, old: F, advantage: F) -> Term<F, STATS> {
        let Ratio { log, parts, live } = ratio::<F, FUSED>(new, old);
        let (loss, grad, low, high) = self.surrogate(parts.exp, live, advantage);
        Term { loss, grad, stats: [log, parts.k3, F::indicator(low), F::indicator(high)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    /// Fixture `ppo_action_level`; formula in tests/reference/gen_fixtures.py.
    #[test]
    fn action_level() {
        let new = variable(&[-10.0, -7.9, -12.3, -6.0]);
        let batch = PolicyBatch::new(&[-10.1, -8.0, -12.0, -6.5], &[1.0, -0.5, -2.0, 0.25], &[true; 4], &[2, 2]);
        let out = ppo_clip(&new, &batch, &PpoClip::default()).unwrap();
        // The fixture's 0.178_603_635_240_544_1 includes the entropy bonus 0.01 * 0.825.
        assert_close(&[out.value], &[0.178_603_635_240_544_1 + 0.008_25], 1e-9);
        assert_close(&[out.diagnostics.approx_kl], &[0.049_970_331_883_285_37], 1e-9);
        assert_close(&gradient(&out.loss, &new), &[-0.276_292_729_518_911_8, 0.138_146_364_759_455_9, 0.0, 0.0], 1e-9);
        assert_eq!((out.diagnostics.clip_low, out.diagnostics.clip_high), (0.25, 0.25));
        assert_close(
            &[out.diagnostics.ratio_min, out.diagnostics.ratio_max],
            &[0.740_818_220_681_717_3, 1.648_721_270_700_128_2],
            1e-9,
        );
    }

    /// Fixture `ppo_token_level`; the sixth token is padding and holds junk.
    #[test]
    fn token_level() {
        let new = variable(&[-0.7, -1.1, -0.3, -0.2, -2.0, f64::NAN]);
        let old = [-0.8, -1.0, -0.3, -0.5, -1.5, 0.0];
        let advantage = [0.9, -0.4, 0.1, 1.5, -1.0, 7.0];
        let mask = [true, true, true, true, true, false];
        let batch = PolicyBatch::new(&old, &advantage, &mask, &[3, 3]);
        let out = ppo_clip(&new, &batch, &PpoClip::default()).unwrap();
        assert_close(&[out.value - 0.01 * 0.42], &[-0.350_743_771_810_739_7], 1e-9);
        assert_close(&[out.diagnostics.approx_kl], &[0.033_279_560_680_049_87], 1e-9);
        let want = [-0.198_930_765_253_616_58, 0.072_386_993_442_876_77, -0.02, 0.0, 0.0, 0.0];
        assert_close(&gradient(&out.loss, &new), &want, 1e-9);
    }

    /// ρ = 1.25 and 1.3, A = 1: only the second is above 1 + 0.28. By hand: -(1.25 + 1.28) / 2.
    #[test]
    fn clip_higher_moves_only_the_upper_bound() {
        let new = variable(&[1.25f64.ln(), 1.3f64.ln()]);
        let batch = PolicyBatch::new(&[0.0, 0.0], &[1.0, 1.0], &[true; 2], &[2]);
        let config = PpoClip { clip_high: Some(0.28), ..PpoClip::default() };
        let out = ppo_clip(&new, &batch, &config).unwrap();
        assert_close(&[out.value], &[-1.265], 1e-12);
        assert_close(&gradient(&out.loss, &new), &[-0.625, 0.0], 1e-12);
    }

    #[test]
    fn an_empty_mask_is_zero_with_zero_gradient() {
        let new = variable(&[f64::NAN, -1.0]);
        let batch = PolicyBatch::new(&[0.0, f64::INFINITY], &[1.0, 2.0], &[false; 2], &[2]);
        let out = ppo_clip(&new, &batch, &PpoClip::default()).unwrap();
        assert_eq!((out.value, out.loss.double_value(&[])), (0.0, 0.0));
        assert_eq!(gradient(&out.loss, &new), [0.0, 0.0]);
        assert_eq!(out.diagnostics, crate::loss::PolicyDiagnostics::default());
        let none = ppo_clip::<f64>(&variable(&[]), &PolicyBatch::new(&[], &[], &[], &[]), &PpoClip::default()).unwrap();
        assert_eq!(none.value, 0.0);
    }

    #[test]
    fn the_first_offender_is_named() {
        let new = variable(&[-1.0, f64::NAN, -1.0]);
        let batch = PolicyBatch::new(&[-1.0, -1.0, f64::INFINITY], &[1.0; 3], &[true; 3], &[3]);
        let message = ppo_clip(&new, &batch, &PpoClip::default()).unwrap_err().to_string();
        assert!(message.starts_with("logp_new is NaN at token 1"), "{message}");
    }

    /// Log-ratios are limited to ±20, beyond which there is no gradient: exp(20) = 485165195.4, exp(-20) = 2.06e-9. A = -1
    /// is not clipped above, so the first token shows the limit; A = 1 is not clipped below, nor is the second.
    #[test]
    fn a_log_ratio_is_limited_to_twenty() {
        let new = variable(&[25.0, -25.0, 19.0]);
        let run = |of: usize| {
            let (mut advantage, mut in_loss) = ([-1.0, 1.0, -1.0], [false; 3]);
            in_loss[of] = true;
            advantage[of] *= 2.0;
            let out =
                ppo_clip(&new, &PolicyBatch::new(&[0.0; 3], &advantage, &in_loss, &[3]), &PpoClip::default()).unwrap();
            (out.value, gradient(&out.loss, &new)[of])
        };
        assert_close(&[run(0).0, run(0).1], &[2.0 * 485_165_195.409_790_3, 0.0], 1e-12);
        assert_close(&[run(1).0, run(1).1], &[-2.0 * 2.061_153_622_438_558e-9, 0.0], 1e-20);
        assert_close(&[run(2).0, run(2).1], &[2.0 * 178_482_300.963_187_25; 2], 1e-12);
    }

    /// A published setting has ε = 10 on both sides: 1 - 10 is below every ratio, so nothing is stopped there.
    #[test]
    fn a_distance_above_one_leaves_the_lower_side_open() {
        let new = variable(&[1e-3_f64.ln(), 12.0_f64.ln()]);
        let batch = PolicyBatch::new(&[0.0; 2], &[-1.0, 1.0], &[true; 2], &[2]);
        let out = ppo_clip(&new, &batch, &PpoClip { clip_low: 10.0, ..PpoClip::default() }).unwrap();
        assert_close(&[out.value], &[(1e-3 - 11.0) / 2.0], 1e-12);
        assert_close(&gradient(&out.loss, &new), &[5e-4, 0.0], 1e-12);
    }

    #[test]
    fn extreme_log_ratios_stay_finite() {
        let new = Tensor::from_slice(&[0.0f32, -400.0, 0.0, -400.0]).set_requires_grad(true);
        let batch = PolicyBatch::new(&[-400.0, 0.0, -400.0, 0.0], &[1.0, 1.0, -1.0, -1.0], &[true; 4], &[4]);
        let out = ppo_clip(&new, &batch, &PpoClip::default()).unwrap();
        assert!(out.value.is_finite() && out.diagnostics.approx_kl.is_finite());
        out.loss.backward();
        assert_eq!(Vec::<f32>::try_from(new.grad()).unwrap(), [0.0; 4]);
    }

    #[test]
    fn settings_read_both_vocabularies_and_refuse_unknown_keys() {
        let verl: PpoClip = serde_json::from_str(
            r#"{"clip_ratio_low": 0.1, "clip_ratio_high": 0.3, "loss_agg_mode": "seq-mean-token-sum"}"#,
        )
        .unwrap();
        let trl: PpoClip =
            serde_json::from_str(r#"{"epsilon": 0.1, "epsilon_high": 0.3, "aggregation": "seq-mean-token-sum"}"#)
                .unwrap();
        assert_eq!(verl, trl);
        assert!(serde_json::from_str::<PpoClip>(r#"{"clip": 0.1}"#).is_err());
        let wrong = PpoClip { clip_low: -0.1, ..PpoClip::default() };
        let batch = PolicyBatch::new(&[0.0], &[0.0], &[true], &[1]);
        assert!(ppo_clip(&variable(&[0.0]), &batch, &wrong).is_err());
    }
}
