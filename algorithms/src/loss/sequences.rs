//! The walk over a span whose tokens share one number of their sequence: two looks at each sequence, the first for the
//! number, the second for its tokens.
//!
//! A sequence is done before the next is begun, for then the columns of the second look are under way while the first
//! goes on, and the mask is still in the first-level cache. Number and weight stay in registers instead of filling
//! columns.

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]

use marft_torch::lanes::Kernel;

use super::fused::{Alone, BLOCK, Columns, LaneSums, Objective, Same, Sums, registers, sum};
use super::lane::Lane;
use super::pairs::{Difference, first, first_of, pairs};
use super::pass::{Spread, Walk};

/// An objective of the shared number, in place of `old`, and the target. It must be zero where the target is.
pub(crate) trait Shared<F, const K: usize>: Objective<F, K> {
    /// The number of a sequence whose `tokens` tokens in the loss have log-ratios of this sum, and what the sequence adds to
    /// the sums.
    fn number(self, log_ratios: f64, tokens: usize) -> (F, Sums<K>);
}

/// An objective of whole sequences.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequences<O>(pub O);

impl<F: Lane, O: Shared<F, K>, const K: usize> Walk<F, K> for Sequences<O> {
    fn span(
        self,
        columns: Columns<'_, F>,
        lengths: &[usize],
        spread: Spread<'_>,
        gradient: &mut [F],
    ) -> Option<Sums<K>> {
        let Self(objective) = self;
        match columns.factor {
            None => F::dispatch(TwoLooks::<F, O, K, false> {
                objective,
                columns,
                factor: columns.new,
                lengths,
                spread,
                gradient,
            }),
            Some(factor) => {
                F::dispatch(TwoLooks::<F, O, K, true> { objective, columns, factor, lengths, spread, gradient })
            }
        }
    }
}

struct TwoLooks<'a, F, O, const K: usize, const FACTOR: bool> {
    objective: O,
    columns: Columns<'a, F>,
    factor: &'a [F],
    lengths: &'a [usize],
    spread: Spread<'a>,
    gradient: &'a mut [F],
}

impl<F: Lane, O: Shared<F, K>, const K: usize, const FACTOR: bool> Kernel for TwoLooks<'_, F, O, K, FACTOR> {
    type Output = Option<Sums<K>>;

    #[inline(always)]
    fn run<const LANES: usize, const FUSED: bool>(self) -> Option<Sums<K>> {
        let Self { objective, columns: Columns { new, old, target, in_loss, .. }, factor, lengths, spread, gradient } =
            self;
        let (mut sums, mut lanes, mut in_lanes) = (Sums::new(), LaneSums::<F, K, LANES>::new(), 0);
        let mut start = 0;
        for (index, &length) in lengths.iter().enumerate() {
            let end = start + length;
            let blocks = || (start..end).step_by(BLOCK).map(|block| (block, BLOCK.min(end - block)));
            let log_ratios = blocks()
                .map(|(block, tokens)| {
                    let (new, old, in_loss) = (&new[block..], &old[block..], &in_loss[block..]);
                    sum(&pairs::<F, _, 1, LANES>(Difference, new, old, in_loss, tokens)[0])
                })
                .sum::<f64>();
            if !log_ratios.is_finite() {
                return None;
            }
            let (number, own) = objective.number(log_ratios, spread.counts()[index]);
            sums = sums.merge(&own);
            let weight = F::narrow(spread.weight(index));
            for (block, tokens) in blocks() {
                tokens_of::<F, O, K, LANES, FUSED, FACTOR>(
                    objective,
                    number,
                    weight,
                    &target[block..],
                    &factor[block..],
                    &in_loss[block..],
                    &mut gradient[block..],
                    tokens,
                    &mut lanes,
                );
                in_lanes += tokens;
                if in_lanes >= BLOCK {
                    sums = sums.merge(&lanes.total()?);
                    (lanes, in_lanes) = (LaneSums::new(), 0);
                }
            }
            start = end;
        }
        Some(sums.merge(&lanes.total()?))
    }
}

/// The terms of the first `tokens` of columns that may be longer; what it writes into the gradient after them is junk, which
/// the next sequence writes over.
#[inline(always)]
fn tokens_of<F: Lane, O: Objective<F, K>, const K: usize, const LANES: usize, const FUSED: bool, const FACTOR: bool>(
    objective: O,
    number: F,
    weight: F,
    target: &[F],
    factor: &[F],
    in_loss: &[bool],
    gradient: &mut [F],
    tokens: usize,
    lanes: &mut LaneSums<F, K, LANES>,
) {
    let (absent, number, weight) = (Same(<F as Lane>::ZERO), Same(number), Same(weight));
    let (n, rest) = (tokens / LANES, tokens % LANES);
    registers::<F, Alone<O>, K, LANES, FUSED, FACTOR>(
        Alone(objective),
        absent,
        number,
        target.as_chunks().0,
        absent,
        weight,
        factor.as_chunks().0,
        in_loss.as_chunks().0,
        &mut gradient.as_chunks_mut().0[..n],
        lanes,
    );
    if rest > 0 {
        let after = n * LANES;
        let mut last = [[<F as Lane>::ZERO; LANES]];
        registers::<F, Alone<O>, K, LANES, FUSED, FACTOR>(
            Alone(objective),
            absent,
            number,
            &[first(&target[after..])][..],
            absent,
            weight,
            &[first(&factor[after..])][..],
            &[first_of(&in_loss[after..], rest)],
            &mut last,
            lanes,
        );
        let gradient = &mut gradient[after..];
        if let Some(register) = gradient.first_chunk_mut() {
            *register = last[0];
        } else {
            gradient.copy_from_slice(&last[0][..gradient.len()]);
        }
    }
}
