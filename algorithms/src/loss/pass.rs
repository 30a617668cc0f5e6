//! From columns to a scalar: weights, the pass over all spans on libtorch's threads, and the way back into autograd.
//!
//! The loss is computed outside autograd together with its exact gradient, which [`FusedLoss`] then hands over. Weights are
//! written into scratch of a block, a thousand tokens, so that they never reach memory.

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]

use std::ops::Range;

use marft_torch::FusedLoss;
use tch::Tensor;

use super::aggregate::{Aggregation, Totals, count_kept};
use super::batch::token_count;
use super::error::{LossError, same_length};
use super::fused::{BLOCK, Columns, Names, Objective, Pairwise, Sums, Term, block, first_offender, reweigh};
use super::lane::Lane;
use super::spans::{Span, spans};

/// How much each token of a loss counts, before its own factor.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spread {
    /// As an aggregation over these totals has it.
    Aggregated(Aggregation, Totals),
    /// All alike.
    Even(f64),
}

impl Spread {
    /// The weight of every token; `None` where it depends on the sequence.
    fn uniform(self) -> Option<f64> {
        match self {
            Self::Even(weight) => Some(weight),
            Self::Aggregated(aggregation, totals) => aggregation.is_uniform().then(|| aggregation.weight(totals, 0)),
        }
    }

    fn of_sequence(self, tokens: usize) -> f64 {
        match self {
            Self::Even(weight) => weight,
            Self::Aggregated(aggregation, totals) => aggregation.weight(totals, tokens),
        }
    }
}

/// What some losses do to their columns before the objective sees them. The default does nothing.
pub(crate) trait Prepare<F: Lane>: Copy + Sync {
    /// Whether [`weigh`](Self::weigh) does anything.
    const WEIGHS: bool = false;

    /// One log-ratio per sequence of a span to take the place of each token's own. NaN where one of a sequence is not
    /// finite.
    fn log_ratios(self, _new: &[F], _old: &[F], _in_loss: &[bool], _lengths: &[usize]) -> Option<Vec<F>> {
        None
    }

    /// Multiplies factors into the weights of a block that begins at token `first`. Whether all are finite then.
    fn weigh(self, _first: usize, _old: &[F], _in_loss: &[bool], _weight: &mut [F]) -> bool {
        true
    }
}

impl<F: Lane> Prepare<F> for () {}

/// A second objective added to the first: its column takes the place of `old`, and no factor acts on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extra<'a, F, Q> {
    /// Its formula.
    pub objective: Q,
    /// Its column.
    pub column: &'a [F],
    /// What the columns are called in a refusal.
    pub names: Names,
}

/// The extra objective of a loss that has none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nothing;

impl<F: Lane> Objective<F, 1> for Nothing {
    #[inline(always)]
    fn term<const FUSED: bool>(self, _: F, _: F, _: F) -> Term<F, 1> {
        let zero = <F as Lane>::ZERO;
        Term { loss: zero, grad: zero, stats: [zero] }
    }
}

/// A batch on its way through an objective. A column that is absent is the variable itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass<'a, F> {
    /// What the columns are called in a refusal, the variable first and the weight last.
    pub names: Names,
    /// `[n]` What the variable is compared with.
    pub old: Option<&'a [F]>,
    /// `[n]` Advantage or target.
    pub target: Option<&'a [F]>,
    /// `[n]` Whether a token is in the loss.
    pub in_loss: &'a [bool],
    /// Tokens per sequence.
    pub lengths: &'a [usize],
    /// What a token counts.
    pub spread: Spread,
    /// `[n]` A factor on that.
    pub factor: Option<&'a [F]>,
}

/// The sums of an objective and of the extra one.
type Both<const K: usize> = (Sums<K>, Sums<1>);

impl<F: Lane> Pass<'_, F> {
    /// The loss as a scalar with gradient, and the sums that it was made of; its value is their `loss` together.
    ///
    /// A variable of another kind than `F` is converted, with gradient. Refuses columns of other lengths, and a number in
    /// the loss that is not finite.
    pub(crate) fn run<O, P, Q, const K: usize>(
        &self,
        variable: &Tensor,
        objective: O,
        prepare: P,
        extra: Option<Extra<'_, F, Q>>,
    ) -> Result<(Tensor, Both<K>), LossError>
    where
        O: Objective<F, K>,
        P: Prepare<F>,
        Q: Objective<F, 1>,
    {
        self.check(token_count(self.names[0], variable)?, extra.map(|extra| (extra.names[1], extra.column)))?;
        let mut loss = FusedLoss::<F>::new(&variable.f_to_kind(F::KIND)?)?;
        let spans: Vec<Span<'_>> = spans(self.lengths).collect();
        let ends: Vec<usize> = spans.iter().map(|span| span.tokens.end).collect();
        let results = loss.each_run(&ends, |index, new, gradient| {
            SpanPass { pass: self, objective, prepare, extra, span: &spans[index], new, gradient }.run()
        })?;
        let mut total = (Sums::new(), Sums::new());
        for result in results {
            let (sums, extra) = result?;
            total = (total.0.merge(&sums), total.1.merge(&extra));
        }
        Ok((loss.finish(total.0.loss + total.1.loss)?, total))
    }

    fn check(&self, tokens: usize, extra: Option<(&'static str, &[F])>) -> Result<(), LossError> {
        let Self { names, old, target, in_loss, lengths, factor, .. } = *self;
        for (name, column) in [(names[1], old), (names[2], target), (names[3], factor)] {
            same_length(name, column.map_or(tokens, <[F]>::len), tokens)?;
        }
        if let Some((name, column)) = extra {
            same_length(name, column.len(), tokens)?;
        }
        same_length("in_loss", in_loss.len(), tokens)?;
        same_length("the sum of lengths", lengths.iter().sum(), tokens)
    }
}

/// One span of a pass.
struct SpanPass<'a, F, O, P, Q, const K: usize> {
    pass: &'a Pass<'a, F>,
    objective: O,
    prepare: P,
    extra: Option<Extra<'a, F, Q>>,
    span: &'a Span<'a>,
    new: &'a [F],
    gradient: &'a mut [F],
}

impl<F, O, P, Q, const K: usize> SpanPass<'_, F, O, P, Q, K>
where
    F: Lane,
    O: Objective<F, K>,
    P: Prepare<F>,
    Q: Objective<F, 1>,
{
    fn run(self) -> Result<Both<K>, LossError> {
        let Self { pass, objective, prepare, extra, span, new, gradient } = self;
        let whole = span.tokens.clone();
        let in_loss = &pass.in_loss[whole.clone()];
        let old = pass.old.map_or(new, |column| &column[whole.clone()]);
        let target = pass.target.map_or(new, |column| &column[whole.clone()]);
        let log_ratios = prepare.log_ratios(new, old, in_loss, span.lengths);
        let uniform = pass.spread.uniform().map(F::narrow);
        let weights = if uniform.is_some() { Vec::new() } else { sequence_weights(pass.spread, span.lengths, in_loss) };

        let (mut sums, mut extra_sums) = (Sums::<K>::new(), Sums::<1>::new());
        let mut weight = [uniform.unwrap_or(<F as Lane>::ZERO); BLOCK];
        let mut shifted = [<F as Lane>::ZERO; BLOCK];
        let (mut weight_cursor, mut ratio_cursor) = (Cursor::default(), Cursor::default());
        for start in (0..new.len()).step_by(BLOCK) {
            let local = start..(start + BLOCK).min(new.len());
            let tokens = whole.start + local.start..whole.start + local.end;
            let weight = &mut weight[..local.len()];
            let (new, target, in_loss) = (&new[local.clone()], &target[local.clone()], &in_loss[local.clone()]);
            let gradient = &mut gradient[local.clone()];
            match uniform {
                None => weight_cursor.fill(span.lengths, &weights, weight),
                Some(one) if P::WEIGHS || pass.factor.is_some() => weight.fill(one),
                Some(_) => {}
            }
            if let Some(Extra { objective, column, names }) = extra {
                let columns = Columns { new, old: &column[tokens.clone()], target, weight, in_loss };
                let block_sums = block::<F, Q, 1, false>(objective, columns, gradient);
                extra_sums = extra_sums.merge(&block_sums.ok_or_else(|| first_offender(columns, names, tokens.start))?);
            }
            let old = &old[local];
            let factor = pass.factor.map(|factor| &factor[tokens.clone()]);
            let weighed = factor.is_none_or(|factor| reweigh(Left, factor, factor, in_loss, weight))
                & prepare.weigh(tokens.start, old, in_loss, weight);
            let columns = Columns { new, old, target, weight, in_loss };
            let mut compared = columns;
            if let Some(log_ratios) = &log_ratios {
                let shifted = &mut shifted[..new.len()];
                ratio_cursor.fill(span.lengths, log_ratios, shifted);
                for (shifted, &new) in shifted.iter_mut().zip(new) {
                    *shifted = new - *shifted;
                }
                compared.old = shifted;
            }
            let block_sums = if extra.is_some() {
                block::<F, O, K, true>(objective, compared, gradient)
            } else {
                block::<F, O, K, false>(objective, compared, gradient)
            };
            match block_sums {
                Some(block_sums) if weighed => sums = sums.merge(&block_sums),
                _ => return Err(first_offender(columns, pass.names, tokens.start)),
            }
        }
        Ok((sums, extra_sums))
    }
}

/// The first of two numbers.
#[derive(Clone, Copy)]
struct Left;

impl<F> Pairwise<F> for Left {
    #[inline(always)]
    fn of<const FUSED: bool>(self, left: F, _: F) -> F {
        left
    }
}

fn sequence_weights<F: Lane>(spread: Spread, lengths: &[usize], in_loss: &[bool]) -> Vec<F> {
    let mut start = 0;
    let mut weight = |&length: &usize| {
        let tokens = count_kept(&in_loss[start..start + length]);
        start += length;
        F::narrow(spread.of_sequence(tokens))
    };
    lengths.iter().map(&mut weight).collect()
}

/// A place in a walk over sequences, from which one number of each is spread over its tokens.
#[derive(Debug, Default)]
struct Cursor {
    sequence: usize,
    used: usize,
}

impl Cursor {
    /// Writes the next tokens' numbers.
    fn fill<F: Lane>(&mut self, lengths: &[usize], numbers: &[F], column: &mut [F]) {
        let mut done = 0;
        while done < column.len() {
            let here: Range<usize> = done..(done + lengths[self.sequence] - self.used).min(column.len());
            done = here.end;
            self.used += here.len();
            column[here].fill(numbers[self.sequence]);
            if self.used == lengths[self.sequence] {
                (self.sequence, self.used) = (self.sequence + 1, 0);
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

    #[test]
    fn an_infinite_weight_is_noticed_wherever_it_is() {
        for at in 0..37 {
            let (mut weight, ones) = ([1.0f32; 37], [2.0f32; 37]);
            let mut in_loss = [true; 37];
            assert!(reweigh(Left, &ones, &ones, &in_loss, &mut weight));
            assert_eq!(weight, ones);
            let mut factor = ones;
            factor[at] = f32::INFINITY;
            assert!(!reweigh(Left, &factor, &ones, &in_loss, &mut weight.clone()));
            in_loss[at] = false;
            assert!(reweigh(Left, &factor, &ones, &in_loss, &mut weight));
        }
    }
}
