//! # What it is
//! DAPO's four parts: clip-higher, a mean over the tokens of the whole batch, dynamic sampling, and a soft penalty on
//! answers near the length limit. Each can be used alone.
//!
//! # Objective (formula)
//! ```text
//! L = 1/N Σ_s Σ_t max( -ρ A, -clip(ρ, 1 - ε_low, 1 + ε_high) A )        no KL term; optional dual clip c
//! keep a group  iff  its metric is not the same for every member
//! penalty(len) = 0                          len <= L_max - L_buf
//!                factor (L_max - L_buf - len) / L_buf    up to L_max
//!                -factor                    beyond
//! ```
//!
//! # When to use it, when not
//! For long reasoning with verifiable rewards. Dynamic sampling costs extra generation, and waiting for the last
//! informative group stalls a synchronous run. Judge groups by accuracy rather than by the shaped reward: a length
//! penalty makes a group look informative that is not.
//!
//! # Shapes, units, errors
//! Loss as [`ppo_clip`](mod@super::ppo_clip). [`DynamicSampling::round`] is asked after every round of generation; it
//! refuses when its rounds are used up. [`Overlong::penalty`] takes a length in tokens and gives reward.
//!
//! # References
//! Yu et al., arXiv 2503.14476. verl `filter_groups`, `overlong_buffer`; TRL `loss_type = "dapo"`.
//!
//! # Example
//! ```
//! use marft_algorithms::loss::{DynamicSampling, Overlong};
//! let overlong = Overlong { max_length: 20_480, buffer: 4096, factor: 1.0 };
//! assert_eq!([16_384, 18_432, 20_480].map(|len| overlong.penalty(len)), [0.0, -0.5, -1.0]);
//! let groups = [vec![1.0, 1.0], vec![1.0, 0.0], vec![0.0, 0.0]];
//! assert_eq!(DynamicSampling::informative(&groups), [1]);
//! ```

use serde::Deserialize;
use tch::Tensor;

use super::aggregate::Aggregation;
use super::batch::PolicyBatch;
use super::clipped_settings::clipped_settings;
use super::dual_clip::Dual;
use super::error::LossError;
use super::lane::Lane;
use super::policy::{PolicyLoss, policy_loss};
use super::ppo_clip::Clip;

clipped_settings! {
    /// Settings of [`dapo`]. Defaults: ε_low 0.2, ε_high 0.28.
    Dapo, clip_high: f64,
    /// The second bound for bad actions. Default `None`; verl's recipe uses 10.
    #[serde(alias = "clip_ratio_c", alias = "delta")]
    dual_clip: Option<f64>,
}

impl Default for Dapo {
    fn default() -> Self {
        Self { clip_low: 0.2, clip_high: 0.28, dual_clip: None }
    }
}

/// DAPO's token-level loss. See the [module documentation](self).
pub fn dapo<F: Lane>(logp_new: &Tensor, batch: &PolicyBatch<'_, F>, config: &Dapo) -> crate::Result<PolicyLoss> {
    let clip = Clip::new(config.clip_low, Some(config.clip_high))?;
    Ok(match config.dual_clip {
        None => policy_loss(logp_new, batch, Aggregation::TokenMean, clip)?,
        Some(bound) => policy_loss(logp_new, batch, Aggregation::TokenMean, Dual::new(clip, bound)?)?,
    })
}

/// The rule that refills a batch with groups that carry a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DynamicSampling {
    /// Rounds of generation before giving up. Default 10.
    #[serde(alias = "max_num_gen_batches")]
    pub max_rounds: usize,
}

impl Default for DynamicSampling {
    fn default() -> Self {
        Self { max_rounds: 10 }
    }
}

/// What to do after a round of generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refill {
    /// Enough: train on these groups, in the order they were sampled; `surplus` informative groups were cut.
    Train {
        /// Indices of the groups to train on.
        groups: Vec<usize>,
        /// Informative groups beyond what was wanted.
        surplus: usize,
    },
    /// Generate again: this many informative groups are still missing.
    Generate {
        /// Groups missing.
        missing: usize,
    },
}

impl DynamicSampling {
    /// The groups whose metric differs among their members, by index. A group of one carries no signal.
    pub fn informative(metric: &[Vec<f64>]) -> Vec<usize> {
        let varies = |group: &[f64]| group.iter().any(|value| *value != group[0]);
        (0..metric.len()).filter(|&index| varies(&metric[index])).collect()
    }

    /// Decides after `rounds` rounds, given the metric of the members of every group sampled so far.
    pub fn round(&self, metric: &[Vec<f64>], wanted: usize, rounds: usize) -> crate::Result<Refill> {
        if let Some((index, &value)) = metric.iter().flatten().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(LossError::NotFinite { what: "the metric of dynamic sampling", index, value }.into());
        }
        let mut groups = Self::informative(metric);
        let kept = groups.len();
        if kept >= wanted {
            groups.truncate(wanted);
            Ok(Refill::Train { groups, surplus: kept - wanted })
        } else if rounds < self.max_rounds {
            Ok(Refill::Generate { missing: wanted - kept })
        } else {
            Err(LossError::NoSignal { kept, wanted, rounds }.into())
        }
    }
}

/// The soft penalty on long answers.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlong {
    /// L_max: the longest answer allowed, tokens.
    #[serde(alias = "max_response_length")]
    pub max_length: usize,
    /// L_buf: the penalty starts this many tokens before the limit. verl's recipe: 4096.
    #[serde(alias = "len")]
    pub buffer: usize,
    /// The penalty at the limit, in units of reward. verl's recipe: 1.
    #[serde(alias = "penalty_factor")]
    pub factor: f64,
}

impl Overlong {
    /// The reward (0 or negative) for an answer of `length` tokens.
    pub fn penalty(&self, length: usize) -> f64 {
        let free = self.max_length.saturating_sub(self.buffer);
        let excess = length.saturating_sub(free);
        if excess == 0 { 0.0 } else { -self.factor * (excess as f64 / self.buffer as f64).min(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, variable};

    /// By hand: three tokens of a long answer and one of a short, -(1.25 + 1 + 1.28 - 0.8) / 4; the low bound acts on
    /// the last (ρ = 0.5, A = -1: max(0.5, 0.8) = 0.8).
    #[test]
    fn tokens_weigh_the_same_and_the_upper_bound_is_higher() {
        let new = variable(&[1.25f64.ln(), 0.0, 1.5f64.ln(), 0.5f64.ln()]);
        let batch = PolicyBatch::new(&[0.0; 4], &[1.0, 1.0, 1.0, -1.0], &[true; 4], &[3, 1]);
        let out = dapo(&new, &batch, &Dapo::default()).unwrap();
        assert_close(&[out.value], &[-(1.25 + 1.0 + 1.28 - 0.8) / 4.0], 1e-12);
        assert_eq!((out.diagnostics.clip_low, out.diagnostics.clip_high), (0.25, 0.25));
    }

    /// ρ = 20 and 9, A = -1: without the second bound (20 + 9) / 2; with c = 10, verl's recipe, (10 + 9) / 2.
    #[test]
    fn the_second_bound_is_optional() {
        let new = variable(&[20f64.ln(), 9f64.ln()]);
        let batch = PolicyBatch::new(&[0.0; 2], &[-1.0; 2], &[true; 2], &[2]);
        let run = |dual_clip| dapo(&new, &batch, &Dapo { dual_clip, ..Dapo::default() }).unwrap();
        assert_close(&[run(None).value, run(Some(10.0)).value], &[14.5, 9.5], 1e-12);
        assert_eq!(run(Some(10.0)).diagnostics.dual_clip, 0.5);
    }

    /// The numbers of the published recipe: L_max 20480, L_buf 4096, factor 1.
    #[test]
    fn the_penalty_is_linear_in_the_buffer() {
        let overlong = Overlong { max_length: 20_480, buffer: 4096, factor: 1.0 };
        for (length, want) in [(0, 0.0), (16_384, 0.0), (17_408, -0.25), (18_432, -0.5), (20_480, -1.0), (30_000, -1.0)]
        {
            assert_close(&[overlong.penalty(length)], &[want], 1e-12);
        }
        let none = Overlong { max_length: 10, buffer: 0, factor: 1.0 };
        assert_eq!((none.penalty(10), none.penalty(11)), (0.0, -1.0));
    }

    #[test]
    fn refill_trains_generates_or_gives_up() {
        let groups = vec![vec![1.0, 0.0], vec![1.0, 1.0], vec![0.0, 1.0], vec![0.5, 0.0], vec![1.0]];
        let rule = DynamicSampling { max_rounds: 2 };
        assert_eq!(rule.round(&groups, 2, 1).unwrap(), Refill::Train { groups: vec![0, 2], surplus: 1 });
        assert_eq!(rule.round(&groups, 4, 1).unwrap(), Refill::Generate { missing: 1 });
        let error = rule.round(&groups, 4, 2).unwrap_err();
        assert_eq!(error, LossError::NoSignal { kept: 3, wanted: 4, rounds: 2 }.into());
        assert!(rule.round(&[vec![f64::NAN, 1.0]], 1, 0).is_err());
    }

    #[test]
    fn verls_names_are_read() {
        let rule: DynamicSampling = serde_json::from_str(r#"{"max_num_gen_batches": 3}"#).unwrap();
        assert_eq!(rule.max_rounds, 3);
        let overlong: Overlong =
            serde_json::from_str(r#"{"max_response_length": 20480, "len": 4096, "penalty_factor": 1.0}"#).unwrap();
        assert_eq!(overlong.penalty(18_432), -0.5);
    }
}
