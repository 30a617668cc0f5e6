//! From columns to a scalar: weights, the pass over all spans on libtorch's threads, and the way back into autograd.
//!
//! The loss is computed outside autograd together with its exact gradient, which [`FusedLoss`] then hands over. Weights are
//! written into scratch of a block, a thousand tokens, so that they never reach memory.

use std::ops::Range;

use marft_torch::FusedLoss;
use marft_torch::lanes::Kernel;
use tch::Tensor;

use super::aggregate::{Aggregation, Totals};
use super::batch::token_count;
use super::error::{LossError, same_length};
use super::fused::{BLOCK, Columns, Formula, Names, Sums, block, first_offender};
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
    fn uniform(self) -> Option<f64> {
        match self {
            Self::Even(weight) => Some(weight),
            Self::Aggregated(aggregation, totals, _) => aggregation.is_uniform().then(|| aggregation.weight(totals, 0)),
        }
    }

    /// Tokens in the loss of each sequence, where they were counted.
    fn counts(self) -> &'a [usize] {
        match self {
            Self::Even(_) => &[],
            Self::Aggregated(_, _, counts) => counts,
        }
    }

    fn of_sequence(self, tokens: usize) -> f64 {
        match self {
            Self::Even(weight) => weight,
            Self::Aggregated(aggregation, totals, _) => aggregation.weight(totals, tokens),
        }
    }
}

/// What a loss computes of whole sequences before it goes over their tokens. The default is nothing.
pub(crate) trait Prepare<F: Lane, const K: usize>: Copy + Sync {
    /// One number per sequence of a span, to take the place of `old` for its tokens (NaN where one of them is not finite),
    /// and what the sequences add to the sums. `lengths` and `counts` are the tokens and the tokens in the loss of each.
    fn sequences(
        self,
        _new: &[F],
        _old: &[F],
        _in_loss: &[bool],
        _lengths: &[usize],
        _counts: &[usize],
    ) -> Option<(Vec<F>, Sums<K>)> {
        None
    }
}

impl<F: Lane, const K: usize> Prepare<F, K> for () {}

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
    pub(crate) fn run<W: Formula<F, K>, P: Prepare<F, K>, const K: usize>(
        &self,
        variable: &Tensor,
        formula: W,
        prepare: P,
    ) -> Result<(Tensor, Sums<K>), LossError> {
        self.check(token_count(self.names[0], variable)?)?;
        let mut loss = FusedLoss::<F>::new(&variable.f_to_kind(F::KIND)?)?;
        let spans: Vec<Span<'_>> = spans(self.lengths).collect();
        let ends: Vec<usize> = spans.iter().map(|span| span.tokens.end).collect();
        let results =
            loss.each_run(&ends, |index, new, gradient| self.span(formula, prepare, &spans[index], new, gradient))?;
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

    fn span<W: Formula<F, K>, P: Prepare<F, K>, const K: usize>(
        &self,
        formula: W,
        prepare: P,
        span: &Span<'_>,
        new: &[F],
        gradient: &mut [F],
    ) -> Result<Sums<K>, LossError> {
        let whole = span.tokens.clone();
        let all;
        let in_loss = if let Some(in_loss) = self.in_loss {
            &in_loss[whole.clone()]
        } else {
            all = vec![true; new.len()];
            &all[..]
        };
        let [old, target, other, factor] =
            [self.old, self.target, self.other, self.factor].map(|column| column.map(|column| &column[whole.clone()]));
        let counts = self.spread.counts().get(span.sequences.clone()).unwrap_or_default();
        let prepared = prepare.sequences(new, old.unwrap_or(new), in_loss, span.lengths, counts);
        let uniform = self.spread.uniform().map(F::narrow);
        let of_sequence = |tokens: &usize| F::narrow(self.spread.of_sequence(*tokens));
        let weights: Vec<F> = if uniform.is_some() { vec![] } else { counts.iter().map(of_sequence).collect() };

        let mut sums = prepared.as_ref().map_or_else(Sums::new, |(_, sums)| *sums);
        let mut weight = [uniform.unwrap_or(<F as Lane>::ZERO); BLOCK];
        let mut replaced = [<F as Lane>::ZERO; BLOCK];
        let (mut weight_cursor, mut old_cursor) = (Cursor::default(), Cursor::default());
        for start in (0..new.len()).step_by(BLOCK) {
            let tokens = start..(start + BLOCK).min(new.len());
            let new = &new[tokens.clone()];
            let [old, target, other] =
                [old, target, other].map(|column| column.map_or(new, |all| &all[tokens.clone()]));
            let weight = &mut weight[..new.len()];
            if uniform.is_none() {
                weight_cursor.fill(span.lengths, &weights, weight);
            }
            let columns = Columns {
                new,
                old,
                target,
                other,
                weight,
                factor: factor.map(|all| &all[tokens.clone()]),
                in_loss: &in_loss[tokens.clone()],
            };
            let mut formed = columns;
            if let Some((numbers, _)) = &prepared {
                let replaced = &mut replaced[..new.len()];
                old_cursor.fill(span.lengths, numbers, replaced);
                formed.old = replaced;
            }
            match block(formula, formed, &mut gradient[tokens]) {
                Some(block_sums) => sums = sums.merge(&block_sums),
                None => return Err(first_offender(columns, self.names, whole.start + start)),
            }
        }
        Ok(sums)
    }
}

/// A place in a walk over sequences, from which one number of each is spread over its tokens.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    sequence: usize,
    used: usize,
}

impl Cursor {
    /// Writes the next tokens' numbers.
    pub(crate) fn fill<F: Lane>(&mut self, lengths: &[usize], numbers: &[F], column: &mut [F]) {
        F::dispatch(Fill { cursor: self, lengths, numbers, column });
    }
}

struct Fill<'a, F> {
    cursor: &'a mut Cursor,
    lengths: &'a [usize],
    numbers: &'a [F],
    column: &'a mut [F],
}

impl<F: Lane> Kernel for Fill<'_, F> {
    type Output = ();

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "what a kernel calls is compiled with it")]
    fn run<const LANES: usize, const FUSED: bool>(self) {
        let Self { cursor, lengths, numbers, column } = self;
        let mut done = 0;
        while done < column.len() {
            let here: Range<usize> = done..(done + lengths[cursor.sequence] - cursor.used).min(column.len());
            done = here.end;
            cursor.used += here.len();
            column[here].fill(numbers[cursor.sequence]);
            if cursor.used == lengths[cursor.sequence] {
                (cursor.sequence, cursor.used) = (cursor.sequence + 1, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_where_it_stopped() {
        let (lengths, numbers) = ([2, 0, 3, 1], [1.0, 9.0, 2.0, 3.0]);
        let mut cursor = Cursor::default();
        let mut all = Vec::new();
        for part in [1, 3, 2] {
            let mut column = vec![0.0; part];
            cursor.fill(&lengths, &numbers, &mut column);
            all.extend(column);
        }
        assert_eq!(all, [1.0, 1.0, 2.0, 2.0, 2.0, 3.0]);
    }
}
