//! # What it is
//! Truncated importance sampling: weights that correct for a sampler whose probabilities are not quite the trainer's (a
//! remote engine, another precision, other kernels).
//!
//! # Objective (formula)
//! With d = log π_trainer,old - log π_sampler per token, over the tokens of sequence s that are in the loss:
//!
//! | mode | weight |
//! |---|---|
//! | `token_truncate` | clip(exp(d_t), min, max) |
//! | `token_mask` | exp(d_t) if within [min, max], else 0 |
//! | `sequence_truncate` | clip(exp(Σ_t d_t), min, max) for every token of s |
//! | `sequence_mask` | exp(Σ_t d_t) if within [min, max], else 0, for every token of s |
//!
//! # When to use it, when not
//! Always with remote rollouts; the weights then go into [`PolicyBatch::weighted`](super::PolicyBatch::weighted) of any
//! loss. With rollouts and training on the same weights and kernels they are 1. Sequence weights are unbiased and vary
//! wildly on long answers; token weights are biased and tame.
//!
//! # Shapes, units, errors
//! Columns `[n]` and `lengths` as in [`PolicyBatch`](super::PolicyBatch). A sampler log-probability that is NaN means
//! "not recorded" to TRL, which then takes weight 1; here it is refused: a token whose probability is unknown should be
//! out of the loss.
//!
//! # References
//! Yao et al., "Your efficient RL framework secretly brings you off-policy RL training" (2025). TRL
//! `vllm_importance_sampling_mode`, `_clip_max`, `_clip_min`; verl `rollout_is`, `rollout_is_threshold` (2.0).
//!
//! # Example
//! ```
//! use marft_algorithms::loss::{Tis, TisMode, tis};
//! let config = Tis { mode: TisMode::TokenTruncate, max: 2.0, min: None };
//! let weights = tis(&[-1.0_f64, -1.0], &[-1.0, -3.0], &[true; 2], &[2], &config)?;
//! assert_eq!(weights.weight, [1.0, 2.0]); // exp(2) = 7.4, truncated
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use marft_torch::parallel::new_column;
use serde::{Deserialize, Serialize};

use super::error::{LossError, positive, same_length, within};
use super::fused::{Columns, Names, first_offender};
use super::importance::{Bounds, BySequence, ByToken, Gaps};
use super::lane::Lane;
use super::spans::{Span, spans};

/// Over what a weight is taken, and what happens to one out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TisMode {
    /// One weight per token, limited.
    TokenTruncate,
    /// One weight per token, 0 out of range.
    TokenMask,
    /// One weight per sequence, limited.
    SequenceTruncate,
    /// One weight per sequence, 0 out of range.
    #[default]
    SequenceMask,
}

/// Settings of [`tis`].
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tis {
    /// Default `sequence_mask`, TRL's.
    #[serde(alias = "vllm_importance_sampling_mode")]
    pub mode: TisMode,
    /// The largest weight. Default 3, TRL's; verl's threshold is 2.
    #[serde(alias = "vllm_importance_sampling_clip_max", alias = "rollout_is_threshold", alias = "cap")]
    pub max: f64,
    /// The smallest weight. Default `None`: no lower bound.
    #[serde(alias = "vllm_importance_sampling_clip_min")]
    pub min: Option<f64>,
}

impl Default for Tis {
    fn default() -> Self {
        Self { mode: TisMode::SequenceMask, max: 3.0, min: None }
    }
}

/// Importance weights and what they tell about the sampler.
#[derive(Debug, Clone, PartialEq)]
pub struct TisWeights<F> {
    /// `[n]` The weight of each token; 0 outside the loss.
    pub weight: Vec<F>,
    /// Mean of |d| over the tokens in the loss, nats: how far the sampler is from the trainer.
    pub mean_gap: f64,
    /// Largest |d|, nats.
    pub max_gap: f64,
    /// Fraction of the tokens in the loss whose weight was limited or masked.
    pub out_of_range: f64,
}

/// Importance weights of trainer against sampler. See the [module documentation](self).
pub fn tis<F: Lane>(
    logp_trainer: &[F],
    logp_sampler: &[F],
    in_loss: &[bool],
    lengths: &[usize],
    config: &Tis,
) -> crate::Result<TisWeights<F>> {
    let Tis { mode, max, min } = *config;
    let n = logp_trainer.len();
    positive("max", max, "the largest weight to trust, for example 2")?;
    let floor = min.unwrap_or(0.0);
    within("min", floor, (0.0..=max).contains(&floor), "[0, max]", "leave it out for no lower bound")?;
    same_length("logp_sampler", logp_sampler.len(), n)?;
    same_length("in_loss", in_loss.len(), n)?;
    same_length("the sum of lengths", lengths.iter().sum(), n)?;

    let by_sequence = matches!(mode, TisMode::SequenceTruncate | TisMode::SequenceMask);
    let truncate = matches!(mode, TisMode::TokenTruncate | TisMode::SequenceTruncate);
    let bounds = Bounds { floor: F::narrow(floor), max: F::narrow(max), truncate };
    let spans: Vec<Span<'_>> = spans(lengths).collect();
    let ends: Vec<usize> = spans.iter().map(|span| span.tokens.end).collect();
    let (weight, gaps) = new_column(&ends, <F as Lane>::ZERO, |index, tokens, weight| {
        let start = tokens.start;
        let (trainer, sampler) = (&logp_trainer[tokens.clone()], &logp_sampler[tokens.clone()]);
        let (lengths, in_loss) = (spans[index].lengths, &in_loss[tokens]);
        let gaps = if by_sequence {
            F::dispatch(BySequence { bounds, lengths, trainer, sampler, in_loss, weight })
        } else {
            F::dispatch(ByToken { bounds, trainer, sampler, in_loss, weight })
        };
        let columns = Columns { new: trainer, old: sampler, target: trainer, other: trainer, factor: None, in_loss };
        if gaps.sum.is_finite() { Ok(gaps) } else { Err(first_offender(columns, NAMES, start)) }
    })
    .map_err(LossError::from)?;
    let mut total = Gaps::default();
    for gaps in gaps {
        total = total.merge(&gaps?);
    }
    let Gaps { sum, max: max_gap, outside, tokens } = total;
    let tokens = tokens.max(1) as f64;
    Ok(TisWeights { weight, mean_gap: sum / tokens, max_gap, out_of_range: outside / tokens })
}

const NAMES: Names = ["logp_trainer", "logp_sampler", "logp_trainer", "logp_trainer", "logp_trainer"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::assert_close;

    /// d = 0.5, 1, junk | -2, 0.1. By hand with max 2, min 0.2: exp(0.5) = 1.6487, exp(1) = 2.718, exp(-2) = 0.1353,
    /// exp(0.1) = 1.1052; sequence sums 1.5 and -1.9: 4.4817 and 0.1496.
    #[test]
    fn four_modes() {
        let trainer = [-1.0, -1.0, f64::NAN, -3.0, -1.0];
        let sampler = [-1.5, -2.0, 9.0, -1.0, -1.1];
        let mask = [true, true, false, true, true];
        let run = |mode| tis(&trainer, &sampler, &mask, &[3, 2], &Tis { mode, max: 2.0, min: Some(0.2) }).unwrap();
        let (e05, e01) = (0.5f64.exp(), 0.1f64.exp());
        assert_close(&run(TisMode::TokenTruncate).weight, &[e05, 2.0, 0.0, 0.2, e01], 1e-12);
        assert_close(&run(TisMode::TokenMask).weight, &[e05, 0.0, 0.0, 0.0, e01], 1e-12);
        assert_close(&run(TisMode::SequenceTruncate).weight, &[2.0, 2.0, 0.0, 0.2, 0.2], 1e-12);
        assert_close(&run(TisMode::SequenceMask).weight, &[0.0; 5], 1e-12);
        let report = run(TisMode::TokenTruncate);
        assert_close(&[report.mean_gap, report.max_gap, report.out_of_range], &[0.9, 2.0, 0.5], 1e-12);
    }

    /// TRL's default: one weight per sequence, out of the loss above 3. Its recipe for truncation: limited to 2. Sums of d:
    /// 0.5, 1, 1.5, so exp: 1.6487, 2.7183, 4.4817.
    #[test]
    fn the_settings_of_trl() {
        let run =
            |config: &Tis| tis(&[-1.0; 4], &[-1.5, -2.0, -2.0, -1.5], &[true; 4], &[1, 1, 2], config).unwrap().weight;
        let (e05, e10) = (0.5f64.exp(), 1f64.exp());
        let default: Tis = serde_json::from_str("{}").unwrap();
        assert_eq!(default, Tis { mode: TisMode::SequenceMask, max: 3.0, min: None });
        assert_close(&run(&default), &[e05, e10, 0.0, 0.0], 1e-12);
        let text =
            r#"{"vllm_importance_sampling_mode": "sequence_truncate", "vllm_importance_sampling_clip_max": 2.0}"#;
        assert_close(&run(&serde_json::from_str(text).unwrap()), &[e05, 2.0, 2.0, 2.0], 1e-12);
    }

    #[test]
    fn an_unknown_probability_is_refused_by_name() {
        let message = tis(&[-1.0, -1.0], &[-1.0, f64::NAN], &[true; 2], &[2], &Tis::default()).unwrap_err().to_string();
        assert!(message.starts_with("logp_sampler is NaN at token 1"), "{message}");
        assert!(tis::<f32>(&[], &[], &[], &[], &Tis { max: 0.0, ..Tis::default() }).is_err());
    }
}
