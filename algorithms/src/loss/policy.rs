//! From an objective to a policy loss: aggregation weights, the pass over the spans, and the report.

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]

use std::borrow::Cow;

use tch::Tensor;

use super::aggregate::{Aggregation, Totals, count_kept};
use super::batch::PolicyBatch;
use super::error::LossError;
use super::fused::{Columns, Names, Objective, Sums, Term, accumulate};
use super::handover::{Handover, spans};
use super::lane::{ExpParts, LOG_RATIO_LIMIT, Lane};
use crate::kl::{KlEstimator, KlTask};

/// A policy loss, ready for `backward`.
#[derive(Debug)]
pub struct PolicyLoss {
    /// Scalar; on the device of the new log-probabilities, in the float of the batch. Its gradient is exact.
    pub loss: Tensor,
    /// The value of `loss`, in f64.
    pub value: f64,
    /// What happened on the way.
    pub diagnostics: PolicyDiagnostics,
}

/// Statistics over the tokens in the loss. All are 0 when there is none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PolicyDiagnostics {
    /// Tokens in the loss.
    pub tokens: usize,
    /// Sequences with a token in the loss.
    pub sequences: usize,
    /// Mean ratio of new to old probability.
    pub ratio_mean: f64,
    /// Smallest ratio, or 1 where all are larger.
    pub ratio_min: f64,
    /// Largest ratio, or 1 where all are smaller.
    pub ratio_max: f64,
    /// Mean k3 estimate of the divergence of the new from the old policy, nats per token.
    pub approx_kl: f64,
    /// Fraction of tokens below the clip range with a negative advantage: no gradient.
    pub clip_low: f64,
    /// Fraction of tokens above the clip range with a positive advantage: no gradient.
    pub clip_high: f64,
    /// Fraction of tokens whose loss was bounded by the dual clip: no gradient.
    pub dual_clip: f64,
    /// Mean of the KL estimate against the reference, before its coefficient; 0 without a KL term.
    pub kl_ref: f64,
}

impl PolicyDiagnostics {
    /// The statistics of two chunks together.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let (a, b) = (self.tokens as f64, other.tokens as f64);
        if other.tokens == 0 {
            return self;
        }
        if self.tokens == 0 {
            return other;
        }
        let mean = |x: f64, y: f64| (x * a + y * b) / (a + b);
        Self {
            tokens: self.tokens + other.tokens,
            sequences: self.sequences + other.sequences,
            ratio_mean: mean(self.ratio_mean, other.ratio_mean),
            ratio_min: self.ratio_min.min(other.ratio_min),
            ratio_max: self.ratio_max.max(other.ratio_max),
            approx_kl: mean(self.approx_kl, other.approx_kl),
            clip_low: mean(self.clip_low, other.clip_low),
            clip_high: mean(self.clip_high, other.clip_high),
            dual_clip: mean(self.dual_clip, other.dual_clip),
            kl_ref: mean(self.kl_ref, other.kl_ref),
        }
    }
}

/// The statistics every policy objective keeps: ratio - 1, k3, clipped low, clipped high; dual clip is a fifth.
pub(crate) const STATS: usize = 4;

/// The log-ratio within its limit, its exponential, and whether it was within.
#[inline(always)]
pub(crate) fn ratio<F: Lane>(new: F, old: F) -> (ExpParts<F>, bool) {
    let (raw, limit) = (new - old, F::narrow(LOG_RATIO_LIMIT));
    let log_ratio = raw.least(limit).most(-limit);
    (log_ratio.exp_parts(), log_ratio == raw)
}

/// k3 of the old against the new policy, (ρ - 1) - ln ρ, from the parts of exp(ln ρ).
#[inline(always)]
pub(crate) fn without_clip<F: Lane>(loss: F, grad: F, parts: ExpParts<F>) -> Term<F, STATS> {
    let zero = <F as Lane>::ZERO;
    Term { loss, grad, stats: [parts.minus_one, parts.k3, zero, zero] }
}

/// A span on its way into the loop. A sequence-level or decoupled objective rewrites `old` or `weight`.
pub(crate) struct Draft<'a, F: Lane> {
    /// First token of the span in the batch.
    pub first: usize,
    /// Tokens per sequence of the span.
    pub lengths: &'a [usize],
    /// New log-probabilities of the span.
    pub new: &'a [F],
    /// Mask of the span.
    pub in_loss: &'a [bool],
    /// Old log-probabilities of the span; copied on the first write.
    pub old: Cow<'a, [F]>,
    /// Full weights of the span.
    pub weight: &'a mut [F],
}

/// A KL term added to every token's loss.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Penalty {
    /// Its coefficient; 0 switches it off.
    pub coefficient: f64,
    /// Its estimator.
    pub estimator: KlEstimator,
    /// Who asks, for refusals.
    pub algorithm: &'static str,
}

const NAMES: Names = ["logp_new", "logp_old", "advantage", "weight"];
const KL_NAMES: Names = ["logp_new", "logp_ref", "advantage", "weight"];

/// Computes a loss whose terms depend on one token each.
pub(crate) fn policy_loss<F: Lane, O: Objective<F, K>, const K: usize>(
    logp_new: &Tensor,
    batch: &PolicyBatch<'_, F>,
    aggregation: Aggregation,
    objective: O,
    penalty: Option<Penalty>,
) -> Result<PolicyLoss, LossError> {
    prepared_policy_loss(logp_new, batch, aggregation, objective, penalty, |_| Ok(()))
}

/// The same, where `prepare` rewrites each span first.
pub(crate) fn prepared_policy_loss<F: Lane, O: Objective<F, K>, const K: usize>(
    logp_new: &Tensor,
    batch: &PolicyBatch<'_, F>,
    aggregation: Aggregation,
    objective: O,
    penalty: Option<Penalty>,
    mut prepare: impl FnMut(&mut Draft<'_, F>) -> Result<(), LossError>,
) -> Result<PolicyLoss, LossError> {
    aggregation.check()?;
    let mut handover = Handover::new::<F>("logp_new", logp_new)?;
    batch.check(handover.len())?;
    let reference = match penalty.filter(|penalty| penalty.coefficient != 0.0) {
        None => None,
        Some(penalty) => Some((
            penalty,
            batch.logp_ref.ok_or(LossError::Missing {
                algorithm: penalty.algorithm,
                what: "the reference log-probabilities for its KL term",
                hint: "give them with `PolicyBatch::with_reference`, or set beta = 0",
            })?,
        )),
    };
    let own = Totals::count(batch.in_loss, batch.lengths);
    let totals = batch.totals.unwrap_or(own);

    let (mut sums, mut kl_sums) = (Sums::<K>::new(), Sums::<1>::new());
    let (mut new, mut weight, mut gradient) = (Vec::new(), Vec::new(), Vec::new());
    for span in spans(batch.lengths) {
        let range = span.tokens.clone();
        handover.read(&range, &mut new)?;
        let in_loss = &batch.in_loss[range.clone()];
        fill_weights(&mut weight, aggregation, totals, span.lengths, in_loss);
        gradient.clear();
        gradient.resize(new.len(), <F as Lane>::ZERO);
        if let Some((penalty, logp_ref)) = reference {
            let target = &batch.advantage[range.clone()];
            let columns = Columns { new: &new, old: &logp_ref[range.clone()], target, weight: &weight, in_loss };
            let task = PenaltyPass { columns, first: range.start, gradient: &mut gradient, sums: &mut kl_sums };
            penalty.estimator.with_objective(penalty.coefficient, task)?;
        }
        if let Some(importance) = batch.weight {
            for (w, &factor) in weight.iter_mut().zip(&importance[range.clone()]) {
                *w = *w * factor;
            }
        }
        let mut draft = Draft {
            first: range.start,
            lengths: span.lengths,
            new: &new,
            in_loss,
            old: (&batch.logp_old[range.clone()]).into(),
            weight: &mut weight,
        };
        prepare(&mut draft)?;
        let Draft { old, weight, .. } = draft;
        let target = &batch.advantage[range.clone()];
        let columns = Columns { new: &new, old: &old, target, weight, in_loss };
        accumulate(objective, columns, NAMES, range.start, &mut gradient, &mut sums)?;
        handover.write(&range, &gradient)?;
    }
    let value = sums.loss + kl_sums.loss;
    Ok(PolicyLoss { loss: handover.finish(value)?, value, diagnostics: report(own, &sums, &kl_sums) })
}

struct PenaltyPass<'a, F> {
    columns: Columns<'a, F>,
    first: usize,
    gradient: &'a mut [F],
    sums: &'a mut Sums<1>,
}

impl<F: Lane> KlTask<F> for PenaltyPass<'_, F> {
    type Output = Result<(), LossError>;

    fn run<O: Objective<F, 1>>(self, objective: O) -> Self::Output {
        accumulate(objective, self.columns, KL_NAMES, self.first, self.gradient, self.sums)
    }
}

/// The aggregation weight of every token of a run of sequences.
pub(crate) fn fill_weights<F: Lane>(
    weight: &mut Vec<F>,
    aggregation: Aggregation,
    totals: Totals,
    lengths: &[usize],
    in_loss: &[bool],
) {
    weight.clear();
    if aggregation.is_uniform() {
        weight.resize(in_loss.len(), F::narrow(aggregation.weight(totals, 0)));
        return;
    }
    let mut start = 0;
    for &length in lengths {
        let tokens = count_kept(&in_loss[start..start + length]);
        start += length;
        weight.resize(start, F::narrow(aggregation.weight(totals, tokens)));
    }
}

fn report<const K: usize>(own: Totals, sums: &Sums<K>, kl: &Sums<1>) -> PolicyDiagnostics {
    if own.tokens == 0 {
        return PolicyDiagnostics::default();
    }
    let mean = |index: usize| sums.stats.get(index).map_or(0.0, |sum| sum / own.tokens as f64);
    PolicyDiagnostics {
        tokens: own.tokens,
        sequences: own.sequences,
        ratio_mean: 1.0 + mean(0),
        ratio_min: 1.0 + sums.min,
        ratio_max: 1.0 + sums.max,
        approx_kl: mean(1),
        clip_low: mean(2),
        clip_high: mean(3),
        dual_clip: mean(4),
        kl_ref: kl.stats[0] / own.tokens as f64,
    }
}
