//! The one loop under every per-token loss: value, gradient and statistics in a single pass over the columns.
//!
//! A chain of tensor operations would read and write a million tokens a dozen times; this reads each column once. The
//! compiler vectorises the body of an [`Objective`] over `LANES` tokens, with all sums in registers; they run in the float
//! of the columns inside a block and in f64 across blocks. A NaN or infinity costs two operations to notice (each input
//! times zero is summed) and is looked for only when it was.

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]

use super::error::LossError;
use super::lane::Lane;

/// Tokens per block: its scratch columns stay in the first-level cache, and the sums of a lane stay short.
pub(crate) const BLOCK: usize = 1024;

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
pub(crate) trait Objective<F, const K: usize>: Copy + Sync {
    /// The term of one token; outside the loss all three are zero. `FUSED` as in [`Lane::times_plus`].
    ///
    /// To be marked `#[inline(always)]`, with everything it calls.
    fn term<const FUSED: bool>(self, new: F, old: F, target: F) -> Term<F, K>;
}

/// The columns of a run of tokens, at most [`BLOCK`] where a gradient is asked for.
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
}

impl<const K: usize> Sums<K> {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self { loss: 0.0, stats: [0.0; K], min: 0.0, max: 0.0 }
    }

    /// The sums of two runs of tokens.
    pub(crate) fn merge(mut self, other: &Self) -> Self {
        self.loss += other.loss;
        for (total, stat) in self.stats.iter_mut().zip(other.stats) {
            *total += stat;
        }
        Self { min: self.min.min(other.min), max: self.max.max(other.max), ..self }
    }
}

/// The sums of a block, a register each.
struct Lanes<F, const K: usize, const LANES: usize> {
    loss: [F; LANES],
    poison: [F; LANES],
    stats: [[F; LANES]; K],
    min: [F; LANES],
    max: [F; LANES],
}

impl<F: Lane, const K: usize, const LANES: usize> Lanes<F, K, LANES> {
    #[inline(always)]
    fn new() -> Self {
        let zero = [<F as Lane>::ZERO; LANES];
        Self { loss: zero, poison: zero, stats: [zero; K], min: zero, max: zero }
    }

    /// Adds `LANES` tokens.
    #[inline(always)]
    fn add<O: Objective<F, K>, const FUSED: bool, const ADD: bool>(
        &mut self,
        objective: O,
        columns: [&[F; LANES]; 4],
        in_loss: &[bool; LANES],
        gradient: &mut [F; LANES],
    ) {
        let [new, old, target, weight] = columns;
        for i in 0..LANES {
            let keep = in_loss[i];
            let (x, old, target) = (new[i].kept(keep), old[i].kept(keep), target[i].kept(keep));
            self.poison[i] = ((x - old) + target).times_plus::<FUSED>(<F as Lane>::ZERO, self.poison[i]);
            let term = objective.term::<FUSED>(x, old, target);
            let weight = weight[i].kept(keep);
            self.loss[i] = term.loss.times_plus::<FUSED>(weight, self.loss[i]);
            let slope = term.grad * weight;
            gradient[i] = if ADD { gradient[i] + slope } else { slope };
            for (sum, &stat) in self.stats.iter_mut().zip(&term.stats) {
                sum[i] += stat;
            }
            if K > 0 {
                self.min[i] = term.stats[0].least(self.min[i]);
                self.max[i] = term.stats[0].most(self.max[i]);
            }
        }
    }

    #[inline(always)]
    fn total(self) -> (Sums<K>, f64) {
        let zero = <F as Lane>::ZERO;
        let min = self.min.iter().fold(zero, |a, &b| b.least(a)).wide();
        let max = self.max.iter().fold(zero, |a, &b| b.most(a)).wide();
        (Sums { loss: sum(&self.loss), stats: self.stats.map(|lanes| sum(&lanes)), min, max }, sum(&self.poison))
    }
}

/// The terms of the columns of a block: their sums, and their gradients, written or (`ADD`) added to `gradient`.
///
/// All columns have one length. `None` if a number in the loss, a weight or the loss itself is not finite.
#[inline(always)]
pub(crate) fn block<
    F: Lane,
    O: Objective<F, K>,
    const K: usize,
    const LANES: usize,
    const FUSED: bool,
    const ADD: bool,
>(
    objective: O,
    columns: Columns<'_, F>,
    gradient: &mut [F],
) -> Option<Sums<K>> {
    let Columns { new, old, target, weight, in_loss } = columns;
    let (new, new_tail) = new.as_chunks::<LANES>();
    let (old, old_tail) = old.as_chunks::<LANES>();
    let (target, target_tail) = target.as_chunks::<LANES>();
    let (weight, weight_tail) = weight.as_chunks::<LANES>();
    let (in_loss, mask_tail) = in_loss.as_chunks::<LANES>();
    let (gradient, gradient_tail) = gradient.as_chunks_mut::<LANES>();
    let mut lanes = Lanes::<F, K, LANES>::new();
    for (((((new, old), target), weight), in_loss), gradient) in
        new.iter().zip(old).zip(target).zip(weight).zip(in_loss).zip(gradient)
    {
        lanes.add::<O, FUSED, ADD>(objective, [new, old, target, weight], in_loss, gradient);
    }
    if !new_tail.is_empty() {
        let mut padded = pad(gradient_tail);
        let tails = [&pad(new_tail), &pad(old_tail), &pad(target_tail), &pad(weight_tail)];
        lanes.add::<O, FUSED, ADD>(objective, tails, &pad(mask_tail), &mut padded);
        gradient_tail.copy_from_slice(&padded[..gradient_tail.len()]);
    }
    let (sums, poison) = lanes.total();
    (poison + sums.loss * 0.0 == 0.0).then_some(sums)
}

#[inline(always)]
fn pad<T: Copy + Default, const LANES: usize>(tail: &[T]) -> [T; LANES] {
    let mut padded = [T::default(); LANES];
    padded[..tail.len()].copy_from_slice(tail);
    padded
}

#[inline(always)]
fn sum<F: Lane, const LANES: usize>(lanes: &[F; LANES]) -> f64 {
    lanes.iter().map(|lane| lane.wide()).sum()
}

/// Sum of what `of` makes of every two numbers of a block of tokens in the loss (zero and zero outside it).
#[inline(always)]
pub(crate) fn pair_sum<F: Lane, const LANES: usize>(
    left: &[F],
    right: &[F],
    in_loss: &[bool],
    of: impl Fn(F, F) -> F,
) -> f64 {
    let mut total = 0.0;
    for ((left, right), in_loss) in left.chunks(BLOCK).zip(right.chunks(BLOCK)).zip(in_loss.chunks(BLOCK)) {
        let (left, left_tail) = left.as_chunks::<LANES>();
        let (right, right_tail) = right.as_chunks::<LANES>();
        let (in_loss, mask_tail) = in_loss.as_chunks::<LANES>();
        let mut lanes = [<F as Lane>::ZERO; LANES];
        let mut add = |left: &[F; LANES], right: &[F; LANES], in_loss: &[bool; LANES]| {
            for i in 0..LANES {
                lanes[i] += of(left[i].kept(in_loss[i]), right[i].kept(in_loss[i]));
            }
        };
        for ((left, right), in_loss) in left.iter().zip(right).zip(in_loss) {
            add(left, right, in_loss);
        }
        if !left_tail.is_empty() {
            add(&pad(left_tail), &pad(right_tail), &pad(mask_tail));
        }
        total += sum(&lanes);
    }
    total
}

/// The first token in the loss with a number that is not finite, or an overflow of finite ones. `first` is the index of
/// the first token of the columns.
#[cold]
pub(crate) fn first_offender<F: Lane>(columns: Columns<'_, F>, names: Names, first: usize) -> LossError {
    let Columns { new, old, target, weight, in_loss } = columns;
    for index in (0..new.len()).filter(|&index| in_loss[index]) {
        for (what, column) in names.into_iter().zip([new, old, target, weight]) {
            let value = column[index].wide();
            if !value.is_finite() {
                return LossError::NotFinite { what, index: first + index, value };
            }
        }
    }
    LossError::NotFinite { what: "the loss of the stretch that begins", index: first, value: f64::INFINITY }
}
