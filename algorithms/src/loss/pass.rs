//! From columns to a scalar: weights, the pass over all spans on libtorch's threads, and the way back into autograd.
//!
//! The loss is computed outside autograd together with its exact gradient, which [`FusedLoss`] then hands over.

use std::ops::Range;

use marft_torch::FusedLoss;
use tch::Tensor;

use super::aggregate::{Aggregation, Totals};
use super::batch::token_count;
use super::error::{LossError, same_length};
use super::fused::{Columns, Names, Sums, first_offender};
use super::lane::Lane;
use super::spans::{Span, spans};

/// How much each token of a loss counts, before its own factor.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spread<'a> {
    /// As an aggregation over these totals has it, for sequences with so many tokens in the loss.
    Aggregated(Aggregation, Totals, &'a [usize]),
    /// All alike.
    Even(f64),
}

impl<'a> Spread<'a> {
    /// The weight of every token; `None` where it depends on the sequence.
    pub(crate) fn uniform(self) -> Option<f64> {
        match self {
            Self::Even(weight) => Some(weight),
            Self::Aggregated(aggregation, totals, _) => aggregation.is_uniform().then(|| aggregation.weight(totals, 0)),
        }
    }

    /// The weight of the tokens of a sequence.
    pub(crate) fn weight(self, sequence: usize) -> f64 {
        match self {
            Self::Even(weight) => weight,
            Self::Aggregated(aggregation, totals, counts) => aggregation.weight(totals, counts[sequence]),
        }
    }

    /// Tokens in the loss of each sequence, where they were counted.
    pub(crate) fn counts(self) -> &'a [usize] {
        match self {
            Self::Even(_) => &[],
            Self::Aggregated(_, _, counts) => counts,
        }
    }

    fn part(self, sequences: Range<usize>) -> Self {
        match self {
            Self::Even(_) => self,
            Self::Aggregated(aggregation, totals, counts) => Self::Aggregated(aggregation, totals, &counts[sequences]),
        }
    }
}

/// How a loss goes over the tokens of a span.
pub(crate) trait Walk<F: Lane, const K: usize>: Copy + Sync {
    /// The sums over whole sequences of these `lengths`, their gradients written. `None` if a number in the loss or the loss
    /// itself is not finite.
    fn span(
        self,
        columns: Columns<'_, F>,
        lengths: &[usize],
        spread: Spread<'_>,
        gradient: &mut [F],
    ) -> Option<Sums<K>>;
}

/// A batch on its way through a formula. A column that is absent is the variable itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass<'a, F> {
    /// What the columns are called in a refusal.
    pub names: Names,
    /// `[n]` What the variable is compared with.
    pub old: Option<&'a [F]>,
    /// `[n]` Advantage or target.
    pub target: Option<&'a [F]>,
    /// `[n]` The fourth column of the formula.
    pub other: Option<&'a [F]>,
    /// `[n]` Whether a token is in the loss; absent, all are.
    pub in_loss: Option<&'a [bool]>,
    /// Tokens per sequence.
    pub lengths: &'a [usize],
    /// What a token counts.
    pub spread: Spread<'a>,
    /// `[n]` A factor on that.
    pub factor: Option<&'a [F]>,
}

impl<F: Lane> Pass<'_, F> {
    /// The loss as a scalar with gradient, and the sums that it was made of.
    ///
    /// A variable of another kind than `F` is converted, with gradient. Refuses columns of other lengths, and a number in
    /// the loss that is not finite.
    pub(crate) fn run<W: Walk<F, K>, const K: usize>(
        &self,
        variable: &Tensor,
        walk: W,
    ) -> Result<(Tensor, Sums<K>), LossError> {
        self.check(token_count(self.names[0], variable)?)?;
        let mut loss = FusedLoss::<F>::new(&variable.f_to_kind(F::KIND)?)?;
        let spans: Vec<Span<'_>> = spans(self.lengths).collect();
        let ends: Vec<usize> = spans.iter().map(|span| span.tokens.end).collect();
        let results = loss.each_run(&ends, |index, new, gradient| self.span(walk, &spans[index], new, gradient))?;
        let mut total = Sums::new();
        for sums in results {
            total = total.merge(&sums?);
        }
        Ok((loss.finish(total.loss)?, total))
    }

    fn check(&self, tokens: usize) -> Result<(), LossError> {
        let Self { names: [_, old, target, other, factor], in_loss, lengths, .. } = *self;
        for (name, column) in [(old, self.old), (target, self.target), (other, self.other), (factor, self.factor)] {
            same_length(name, column.map_or(tokens, <[F]>::len), tokens)?;
        }
        same_length("in_loss", in_loss.map_or(tokens, <[bool]>::len), tokens)?;
        same_length("the sum of lengths", lengths.iter().sum(), tokens)
    }

    fn span<W: Walk<F, K>, const K: usize>(
        &self,
        walk: W,
        span: &Span<'_>,
        new: &[F],
        gradient: &mut [F],
    ) -> Result<Sums<K>, LossError> {
        let all;
        let in_loss = if let Some(in_loss) = self.in_loss {
            &in_loss[span.tokens.clone()]
        } else {
            all = vec![true; new.len()];
            &all[..]
        };
        let [old, target, other, factor] = [self.old, self.target, self.other, self.factor]
            .map(|column| column.map(|column| &column[span.tokens.clone()]));
        let [old, target, other] = [old, target, other].map(|column| column.unwrap_or(new));
        let columns = Columns { new, old, target, other, factor, in_loss };
        walk.span(columns, span.lengths, self.spread.part(span.sequences.clone()), gradient)
            .ok_or_else(|| first_offender(columns, self.names, span.tokens.start))
    }
}
