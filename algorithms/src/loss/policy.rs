//! From an objective to a policy loss: the pass over the batch, with a KL term or without, and the report.

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]

use tch::Tensor;

use super::aggregate::{Aggregation, Totals, counts};
use super::batch::{PolicyBatch, token_count};
use super::error::LossError;
use super::fused::{Alone, Formula, Names, Objective, Sums, Term};
use super::lane::{ExpParts, LOG_RATIO_LIMIT, Lane};
use super::pass::{Pass, Spread, Walk};
use super::tokens::Tokens;
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

/// The statistics every policy objective keeps: log-ratio, k3, clipped low, clipped high; dual clip is a fifth.
///
/// The ratio's own are made of the first two: ρ - 1 = ln ρ + k3.
pub(crate) const STATS: usize = 4;

/// The ratio of two probabilities.
pub(crate) struct Ratio<F> {
    /// Its logarithm, within its limit.
    pub log: F,
    /// The exponential of that.
    pub parts: ExpParts<F>,
    /// Whether the logarithm was within its limit.
    pub live: bool,
}

/// The ratio of the probabilities whose logarithms are given.
#[inline(always)]
pub(crate) fn ratio<F: Lane, const FUSED: bool>(new: F, old: F) -> Ratio<F> {
    let (raw, limit) = (new - old, F::narrow(LOG_RATIO_LIMIT));
    let log = raw.least(limit).most(-limit);
    Ratio { log, parts: log.exp_parts::<FUSED>(), live: log == raw }
}

/// The term of an objective that does not clip.
#[inline(always)]
pub(crate) fn without_clip<F: Lane>(loss: F, grad: F, ratio: &Ratio<F>) -> Term<F, STATS> {
    let zero = <F as Lane>::ZERO;
    Term { loss, grad, stats: [ratio.log, ratio.parts.k3, zero, zero] }
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

/// An objective with a divergence from the reference, the fourth column, on which no factor acts.
#[derive(Clone, Copy)]
struct WithDivergence<O, Q>(O, Q);

impl<F: Copy, O: Objective<F, K>, Q: Objective<F, 1>, const K: usize> Formula<F, K> for WithDivergence<O, Q> {
    const COLUMNS: usize = 4;
    const EXTREMES: bool = O::EXTREMES;

    #[inline(always)]
    fn terms<const FUSED: bool>(self, new: F, old: F, target: F, reference: F) -> (Term<F, K>, Option<Term<F, 1>>) {
        (self.0.term::<FUSED>(new, old, target), Some(self.1.term::<FUSED>(new, reference, target)))
    }
}

/// What the columns of a policy loss are called; the fourth is that of its formula.
const fn names(other: &'static str) -> Names {
    ["logp_new", "logp_old", "advantage", other, "weight"]
}

/// Computes a loss whose terms depend on one token each.
pub(crate) fn policy_loss<F: Lane, O: Objective<F, K>, const K: usize>(
    logp_new: &Tensor,
    batch: &PolicyBatch<'_, F>,
    aggregation: Aggregation,
    objective: O,
) -> Result<PolicyLoss, LossError> {
    walked_policy_loss(logp_new, batch, aggregation, Tokens(Alone(objective)), ("other", None))
}

/// The same by a walk of one's own, with a fourth column that is given with its name.
pub(crate) fn walked_policy_loss<F: Lane, W: Walk<F, K>, const K: usize>(
    logp_new: &Tensor,
    batch: &PolicyBatch<'_, F>,
    aggregation: Aggregation,
    walk: W,
    (name, other): (&'static str, Option<&[F]>),
) -> Result<PolicyLoss, LossError> {
    aggregation.check()?;
    let names = names(name);
    batch.check(token_count(names[0], logp_new)?)?;
    let counts = counts(batch.in_loss, batch.lengths);
    let own = Totals::of(&counts);
    let pass = Pass {
        names,
        old: Some(batch.logp_old),
        target: Some(batch.advantage),
        other,
        in_loss: Some(batch.in_loss),
        lengths: batch.lengths,
        spread: Spread::Aggregated(aggregation, batch.totals.unwrap_or(own), &counts),
        factor: batch.weight,
    };
    let (loss, sums) = pass.run(logp_new, walk)?;
    Ok(PolicyLoss { loss, value: sums.loss, diagnostics: report(own, &sums) })
}

/// The same with a KL term.
pub(crate) fn penalised_policy_loss<F: Lane, O: Objective<F, K>, const K: usize>(
    logp_new: &Tensor,
    batch: &PolicyBatch<'_, F>,
    aggregation: Aggregation,
    objective: O,
    penalty: Penalty,
) -> Result<PolicyLoss, LossError> {
    if penalty.coefficient == 0.0 {
        return policy_loss(logp_new, batch, aggregation, objective);
    }
    let logp_ref = batch.logp_ref.ok_or(LossError::Missing {
        algorithm: penalty.algorithm,
        what: "the reference log-probabilities for its KL term",
        hint: "give them with `PolicyBatch::with_reference`, or set beta = 0",
    })?;
    let task = Penalised { logp_new, batch, aggregation, objective, logp_ref };
    penalty.estimator.with_objective(penalty.coefficient, task)
}

struct Penalised<'a, F, O, const K: usize> {
    logp_new: &'a Tensor,
    batch: &'a PolicyBatch<'a, F>,
    aggregation: Aggregation,
    objective: O,
    logp_ref: &'a [F],
}

impl<F: Lane, O: Objective<F, K>, const K: usize> KlTask<F> for Penalised<'_, F, O, K> {
    type Output = Result<PolicyLoss, LossError>;

    fn run<Q: Objective<F, 1>>(self, divergence: Q) -> Self::Output {
        let Self { logp_new, batch, aggregation, objective, logp_ref } = self;
        let formula = WithDivergence(objective, divergence);
        walked_policy_loss(logp_new, batch, aggregation, Tokens(formula), ("logp_ref", Some(logp_ref)))
    }
}

fn report<const K: usize>(own: Totals, sums: &Sums<K>) -> PolicyDiagnostics {
    if own.tokens == 0 {
        return PolicyDiagnostics::default();
    }
    let mean = |index: usize| sums.stats.get(index).map_or(0.0, |sum| sum / own.tokens as f64);
    PolicyDiagnostics {
        tokens: own.tokens,
        sequences: own.sequences,
        ratio_mean: 1.0 + mean(0) + mean(1),
        ratio_min: sums.min.exp(),
        ratio_max: sums.max.exp(),
        approx_kl: mean(1),
        clip_low: mean(2),
        clip_high: mean(3),
        dual_clip: mean(4),
        kl_ref: sums.apart / own.tokens as f64,
    }
}
