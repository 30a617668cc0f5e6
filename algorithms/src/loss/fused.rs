//! The one loop under every per-token loss: value, gradient and statistics in a single pass over the columns.
//!
//! A chain of tensor operations would read and write a million tokens a dozen times; this reads each column once, in
//! blocks that stay in the first-level cache, and the compiler vectorises the body of an [`Objective`]. Sums run in the
//! float of the columns inside a block and in f64 across blocks. A NaN or infinity costs nothing to notice (each input
//! times zero is summed) and is looked for only when it was.

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]

use super::error::{LossError, same_length};
use super::lane::Lane;

/// Tokens per block: all columns of a block fit the first-level cache.
const BLOCK: usize = 256;
/// Independent partial sums, so that a sum vectorises.
const LANES: usize = 16;

/// One token's contribution.
pub(crate) struct Term<F, const K: usize> {
    /// Its term of the loss, before weighting.
    pub loss: F,
    /// Derivative of `loss` by the first column.
    pub grad: F,
    /// What to sum up for the report, and for the first of them its extremes. All must be 0 when all columns are.
    pub stats: [F; K],
}

/// A per-token loss, a function of three columns; what they mean is the objective's affair.
pub(crate) trait Objective<F, const K: usize>: Copy {
    /// The term of one token. Outside the loss all three are zero.
    fn term(self, new: F, old: F, target: F) -> Term<F, K>;
}

/// The columns of a run of tokens.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a, F> {
    /// What the gradient is taken by.
    pub new: &'a [F],
    /// What it is compared with.
    pub old: &'a [F],
    /// Advantage or target.
    pub target: &'a [F],
    /// The full weight of each token: aggregation times importance.
    pub weight: &'a [F],
    /// Whether the token counts.
    pub in_loss: &'a [bool],
}

/// What the columns are called in a refusal.
pub(crate) type Names = [&'static str; 4];

/// Sums over tokens in the loss.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums<const K: usize> {
    /// Weighted loss.
    pub loss: f64,
    /// Unweighted statistics.
    pub stats: [f64; K],
    /// Smallest first statistic, at most 0.
    pub min: f64,
    /// Largest first statistic, at least 0.
    pub max: f64,
    poison: f64,
}

impl<const K: usize> Sums<K> {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self { loss: 0.0, stats: [0.0; K], min: 0.0, max: 0.0, poison: 0.0 }
    }
}

/// Adds the terms of all columns to `sums` and their gradients to `gradient`.
///
/// `first` is the index of the first token, for refusals.
pub(crate) fn accumulate<F: Lane, O: Objective<F, K>, const K: usize>(
    objective: O,
    columns: Columns<'_, F>,
    names: Names,
    first: usize,
    gradient: &mut [F],
    sums: &mut Sums<K>,
) -> Result<(), LossError> {
    let Columns { new, old, target, weight, in_loss } = columns;
    for (what, length) in names.into_iter().zip([new.len(), old.len(), target.len(), weight.len()]) {
        same_length(what, length, new.len())?;
    }
    same_length("in_loss", in_loss.len(), new.len())?;
    same_length("gradient", gradient.len(), new.len())?;

    let (new_blocks, new_tail) = new.as_chunks::<BLOCK>();
    let (old_blocks, old_tail) = old.as_chunks::<BLOCK>();
    let (target_blocks, target_tail) = target.as_chunks::<BLOCK>();
    let (weight_blocks, weight_tail) = weight.as_chunks::<BLOCK>();
    let (mask_blocks, mask_tail) = in_loss.as_chunks::<BLOCK>();
    let (gradient_blocks, gradient_tail) = gradient.as_chunks_mut::<BLOCK>();
    for (index, gradient) in gradient_blocks.iter_mut().enumerate() {
        let [new, old, target, weight] =
            [new_blocks, old_blocks, target_blocks, weight_blocks].map(|column| &column[index]);
        block(objective, new, old, target, weight, &mask_blocks[index], gradient, sums);
    }
    if !new_tail.is_empty() {
        let mut padded = [<F as Lane>::ZERO; BLOCK];
        padded[..gradient_tail.len()].copy_from_slice(gradient_tail);
        block(
            objective,
            &pad(new_tail),
            &pad(old_tail),
            &pad(target_tail),
            &pad(weight_tail),
            &pad(mask_tail),
            &mut padded,
            sums,
        );
        gradient_tail.copy_from_slice(&padded[..gradient_tail.len()]);
    }
    if sums.poison == 0.0 { Ok(()) } else { Err(first_offender(columns, names, first)) }
}

fn pad<T: Copy + Default>(tail: &[T]) -> [T; BLOCK] {
    let mut padded = [T::default(); BLOCK];
    padded[..tail.len()].copy_from_slice(tail);
    padded
}

#[inline(always)]
fn block<F: Lane, O: Objective<F, K>, const K: usize>(
    objective: O,
    new: &[F; BLOCK],
    old: &[F; BLOCK],
    target: &[F; BLOCK],
    weight: &[F; BLOCK],
    in_loss: &[bool; BLOCK],
    gradient: &mut [F; BLOCK],
    sums: &mut Sums<K>,
) {
    let mut loss = [<F as Lane>::ZERO; BLOCK];
    let mut poison = [<F as Lane>::ZERO; BLOCK];
    let mut stats = [[<F as Lane>::ZERO; BLOCK]; K];
    for i in 0..BLOCK {
        let keep = in_loss[i];
        let (x, old, target, w) = (new[i].kept(keep), old[i].kept(keep), target[i].kept(keep), weight[i].kept(keep));
        poison[i] = (x + old + target + w) * <F as Lane>::ZERO;
        let term = objective.term(x, old, target);
        loss[i] = term.loss * w;
        gradient[i] += term.grad * w;
        for (column, stat) in stats.iter_mut().zip(term.stats) {
            column[i] = stat;
        }
    }
    sums.loss += sum(&loss);
    sums.poison += sum(&poison);
    for (total, column) in sums.stats.iter_mut().zip(&stats) {
        *total += sum(column);
    }
    if let Some(column) = stats.first() {
        let (min, max) = extremes(column);
        sums.min = sums.min.min(min);
        sums.max = sums.max.max(max);
    }
}

#[inline(always)]
fn sum<F: Lane>(column: &[F; BLOCK]) -> f64 {
    let mut lanes = [<F as Lane>::ZERO; LANES];
    for part in column.as_chunks::<LANES>().0 {
        for (lane, &x) in lanes.iter_mut().zip(part) {
            *lane += x;
        }
    }
    lanes.iter().map(|lane| lane.wide()).sum()
}

/// Sum of `new - old` over the tokens in the loss; not finite if one of them is not.
pub(crate) fn difference_sum<F: Lane>(new: &[F], old: &[F], in_loss: &[bool]) -> f64 {
    let mut total = 0.0;
    for start in (0..new.len()).step_by(BLOCK) {
        let end = (start + BLOCK).min(new.len());
        let mut difference = [<F as Lane>::ZERO; BLOCK];
        let (new, old, in_loss) = (&new[start..end], &old[start..end], &in_loss[start..end]);
        for (((d, &x), &y), &keep) in difference.iter_mut().zip(new).zip(old).zip(in_loss) {
            *d = x.kept(keep) - y.kept(keep);
        }
        total += sum(&difference);
    }
    total
}

/// Smallest and largest of the numbers and 0.
#[inline(always)]
fn extremes<F: Lane>(column: &[F; BLOCK]) -> (f64, f64) {
    let zero = <F as Lane>::ZERO;
    let (mut low, mut high) = ([zero; LANES], [zero; LANES]);
    for part in column.as_chunks::<LANES>().0 {
        for ((low, high), &x) in low.iter_mut().zip(&mut high).zip(part) {
            *low = x.least(*low);
            *high = x.most(*high);
        }
    }
    let low = low.iter().fold(zero, |a, &b| b.least(a)).wide();
    let high = high.iter().fold(zero, |a, &b| b.most(a)).wide();
    (low, high)
}

/// The first token in the loss with a number that is not finite, or an overflow of finite ones.
#[cold]
fn first_offender<F: Lane>(columns: Columns<'_, F>, names: Names, first: usize) -> LossError {
    let Columns { new, old, target, weight, in_loss } = columns;
    for index in (0..new.len()).filter(|&index| in_loss[index]) {
        for (what, column) in names.into_iter().zip([new, old, target, weight]) {
            let value = column[index].wide();
            if !value.is_finite() {
                return LossError::NotFinite { what, index: first + index, value };
            }
        }
    }
    LossError::NotFinite { what: "the sum of the columns", index: first, value: f64::INFINITY }
}
