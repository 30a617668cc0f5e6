//! The one loop under every per-token loss: value, gradient and statistics in a single pass over the columns.
//!
//! A chain of tensor operations would read and write a million tokens a dozen times; this reads each column once. The
//! compiler vectorises the body of an [`Objective`] over `LANES` tokens, with all sums in registers; they run in the float
//! of the columns inside a block and in f64 across blocks. A NaN or infinity costs two operations to notice (inputs
//! less themselves are summed) and is looked for only when it was.

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]
#![expect(clippy::eq_op, reason = "a number less itself is zero, unless it is not finite")]
#![expect(clippy::needless_range_loop, reason = "columns walked by index keep their sums in registers")]

use std::ops::Range;

use marft_torch::lanes::Kernel;

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
    /// How many of the columns it reads, in their order; it is given zeros for the others.
    const COLUMNS: usize = 3;
    /// Whether somebody asks for the extremes of its first statistic.
    const EXTREMES: bool = false;
    /// Whether columns that are not finite may have a finite loss, so that they must be watched.
    const WITNESS: bool = true;

    /// The term of one token; outside the loss all three are zero. `FUSED` as in [`Lane::times_plus`].
    ///
    /// To be marked `#[inline(always)]`, with everything it calls.
    fn term<const FUSED: bool>(self, new: F, old: F, target: F) -> Term<F, K>;
}

/// How the terms of a token are made: an objective of three columns, or one together with something of a fourth.
pub(crate) trait Formula<F, const K: usize>: Copy + Sync {
    /// As [`Objective::COLUMNS`], of four.
    const COLUMNS: usize;
    /// As [`Objective::EXTREMES`].
    const EXTREMES: bool;
    /// As [`Objective::WITNESS`].
    const WITNESS: bool = true;

    /// The term that is multiplied with the factor, and the one that is not. To be marked `#[inline(always)]`.
    fn terms<const FUSED: bool>(self, new: F, old: F, target: F, other: F) -> (Term<F, K>, Option<Term<F, 1>>);
}

/// An objective alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alone<O>(pub O);

impl<F, O: Objective<F, K>, const K: usize> Formula<F, K> for Alone<O> {
    const COLUMNS: usize = O::COLUMNS;
    const EXTREMES: bool = O::EXTREMES;
    const WITNESS: bool = O::WITNESS;

    #[inline(always)]
    fn terms<const FUSED: bool>(self, new: F, old: F, target: F, _: F) -> (Term<F, K>, Option<Term<F, 1>>) {
        (self.0.term::<FUSED>(new, old, target), None)
    }
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
    /// What the formula has it for; any column where it has none.
    pub other: &'a [F],
    /// A factor on the weight of each token.
    pub factor: Option<&'a [F]>,
    /// Whether the token counts.
    pub in_loss: &'a [bool],
}

impl<F> Columns<'_, F> {
    /// Those of some of the tokens.
    pub(crate) fn part(self, tokens: &Range<usize>) -> Self {
        let Self { new, old, target, other, factor, in_loss } = self;
        let [new, old, target, other] = [new, old, target, other].map(|column| &column[tokens.clone()]);
        let factor = factor.map(|column| &column[tokens.clone()]);
        Self { new, old, target, other, factor, in_loss: &in_loss[tokens.clone()] }
    }
}

/// What new, old, target, other and factor are called in a refusal.
pub(crate) type Names = [&'static str; 5];

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
    /// The statistic of the term apart.
    pub apart: f64,
}

impl<const K: usize> Sums<K> {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self { loss: 0.0, stats: [0.0; K], min: 0.0, max: 0.0, apart: 0.0 }
    }

    /// The sums of two runs of tokens.
    pub(crate) fn merge(mut self, other: &Self) -> Self {
        self.loss += other.loss;
        self.apart += other.apart;
        for (total, stat) in self.stats.iter_mut().zip(other.stats) {
            *total += stat;
        }
        Self { min: self.min.min(other.min), max: self.max.max(other.max), ..self }
    }
}

/// How a register of a column is read: where it lies, or made of one number.
pub(crate) trait Column<F, const LANES: usize>: Copy {
    /// The first `n` registers; from then on the compiler knows that there are so many.
    fn first(self, n: usize) -> Self;
    /// One number of a register, which counts where `keep` holds.
    fn kept(self, register: usize, lane: usize, keep: bool) -> F;
}

/// Zero where it does not count.
impl<F: Lane, const LANES: usize> Column<F, LANES> for &[[F; LANES]] {
    #[inline(always)]
    fn first(self, n: usize) -> Self {
        &self[..n]
    }

    #[inline(always)]
    fn kept(self, register: usize, lane: usize, keep: bool) -> F {
        self[register][lane].kept(keep)
    }
}

/// A column whose tokens all have this number, in the loss or not.
#[derive(Clone, Copy)]
pub(crate) struct Same<F>(pub F);

impl<F: Lane, const LANES: usize> Column<F, LANES> for Same<F> {
    #[inline(always)]
    fn first(self, _: usize) -> Self {
        self
    }

    #[inline(always)]
    fn kept(self, _: usize, _: usize, _: bool) -> F {
        self.0
    }
}

/// The [`Sums`] of each lane, and a witness that is zero while the columns are finite.
#[derive(Clone, Copy)]
pub(crate) struct LaneSums<F, const K: usize, const LANES: usize> {
    loss: [F; LANES],
    poison: [F; LANES],
    min: [F; LANES],
    max: [F; LANES],
    apart: [F; LANES],
    stats: [[F; LANES]; K],
}

impl<F: Lane, const K: usize, const LANES: usize> LaneSums<F, K, LANES> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        let zero = [<F as Lane>::ZERO; LANES];
        Self { loss: zero, poison: zero, min: zero, max: zero, apart: zero, stats: [zero; K] }
    }

    /// All lanes together. `None` if a number in the loss or the loss itself is not finite.
    #[inline(always)]
    pub(crate) fn total(&self) -> Option<Sums<K>> {
        let mut sums = Sums::new();
        sums.loss = sum(&self.loss);
        sums.apart = sum(&self.apart);
        for k in 0..K {
            sums.stats[k] = sum(&self.stats[k]);
        }
        sums.min = fold(self.min, |a, b| b.least(a)).wide();
        sums.max = fold(self.max, |a, b| b.most(a)).wide();
        (sum(&self.poison) + sums.loss * 0.0 == 0.0).then_some(sums)
    }
}

/// Adds the terms of whole registers of tokens to `sums`, and writes their gradients.
///
/// Written for the compiler: sums are local arrays, every column is a parameter of its own and is walked by index. It then
/// sees that columns do not overlap and keeps the sums in registers; with zipped iterators they live in memory, at half
/// the speed. For the same reason `sums` are only added to at the end, and are not what it starts from or returns.
#[inline(always)]
pub(crate) fn registers<
    F: Lane,
    W: Formula<F, K>,
    const K: usize,
    const LANES: usize,
    const FUSED: bool,
    const FACTOR: bool,
>(
    formula: W,
    new: impl Column<F, LANES>,
    old: impl Column<F, LANES>,
    target: impl Column<F, LANES>,
    other: impl Column<F, LANES>,
    weight: impl Column<F, LANES>,
    factor: impl Column<F, LANES>,
    in_loss: &[[bool; LANES]],
    gradient: &mut [[F; LANES]],
    sums: &mut LaneSums<F, K, LANES>,
) {
    let zero = <F as Lane>::ZERO;
    let LaneSums { mut loss, mut poison, mut min, mut max, mut apart, mut stats } = LaneSums::<F, K, LANES>::new();
    let n = gradient.len();
    let (new, old, target, other) = (new.first(n), old.first(n), target.first(n), other.first(n));
    let (weight, factor, in_loss) = (weight.first(n), factor.first(n), &in_loss[..n]);
    for j in 0..n {
        for i in 0..LANES {
            let keep = in_loss[j][i];
            let x = new.kept(j, i, keep);
            let old = if W::COLUMNS > 1 { old.kept(j, i, keep) } else { zero };
            let target = if W::COLUMNS > 2 { target.kept(j, i, keep) } else { zero };
            let other = if W::COLUMNS > 3 { other.kept(j, i, keep) } else { zero };
            let (term, term_apart) = formula.terms::<FUSED>(x, old, target, other);
            let (mut token_loss, mut slope) = (term.loss, term.grad);
            let mut witness = x;
            if W::COLUMNS > 1 {
                witness = witness - old;
            }
            if W::COLUMNS > 2 {
                witness += target;
            }
            if W::COLUMNS > 3 {
                witness += other;
            }
            if FACTOR {
                let factor = factor.kept(j, i, keep);
                witness += factor;
                (token_loss, slope) = (token_loss * factor, slope * factor);
            }
            if let Some(term) = term_apart {
                (token_loss, slope) = (token_loss + term.loss, slope + term.grad);
                apart[i] += term.stats[0];
            }
            if W::WITNESS {
                poison[i] += witness - witness;
            }
            let weight = weight.kept(j, i, keep);
            loss[i] = token_loss.times_plus::<FUSED>(weight, loss[i]);
            gradient[j][i] = slope * weight;
            for k in 0..K {
                stats[k][i] += term.stats[k];
            }
            if W::EXTREMES {
                min[i] = term.stats[0].least(min[i]);
                max[i] = term.stats[0].most(max[i]);
            }
        }
    }
    for i in 0..LANES {
        sums.loss[i] += loss[i];
        sums.poison[i] += poison[i];
        sums.min[i] = min[i].least(sums.min[i]);
        sums.max[i] = max[i].most(sums.max[i]);
        sums.apart[i] += apart[i];
        for k in 0..K {
            sums.stats[k][i] += stats[k][i];
        }
    }
}

/// The terms of the columns: their sums, and their gradients, written to `gradient`.
///
/// All columns have one length, at most [`BLOCK`]. `None` if a number in the loss or the loss itself is not finite.
pub(crate) fn block<F: Lane, W: Formula<F, K>, const K: usize>(
    formula: W,
    columns: Columns<'_, F>,
    weight: &[F],
    gradient: &mut [F],
) -> Option<Sums<K>> {
    match columns.factor {
        None => F::dispatch(Block::<F, W, K, false> { formula, columns, weight, factor: columns.new, gradient }),
        Some(factor) => F::dispatch(Block::<F, W, K, true> { formula, columns, weight, factor, gradient }),
    }
}

/// A block is a kernel of its own, and not the whole pass: in a larger function the compiler spills the sums.
struct Block<'a, F, W, const K: usize, const FACTOR: bool> {
    formula: W,
    columns: Columns<'a, F>,
    weight: &'a [F],
    factor: &'a [F],
    gradient: &'a mut [F],
}

impl<F: Lane, W: Formula<F, K>, const K: usize, const FACTOR: bool> Kernel for Block<'_, F, W, K, FACTOR> {
    type Output = Option<Sums<K>>;

    #[inline(always)]
    fn run<const LANES: usize, const FUSED: bool>(self) -> Self::Output {
        let Self { formula, columns, weight, factor, gradient } = self;
        let Columns { new, old, target, other, factor: _, in_loss } = columns;
        let (new, new_tail) = new.as_chunks::<LANES>();
        let (old, old_tail) = old.as_chunks::<LANES>();
        let (target, target_tail) = target.as_chunks::<LANES>();
        let (other, other_tail) = other.as_chunks::<LANES>();
        let (weight, weight_tail) = weight.as_chunks::<LANES>();
        let (factor, factor_tail) = factor.as_chunks::<LANES>();
        let (in_loss, mask_tail) = in_loss.as_chunks::<LANES>();
        let (gradient, gradient_tail) = gradient.as_chunks_mut::<LANES>();
        let mut sums = LaneSums::new();
        registers::<F, W, K, LANES, FUSED, FACTOR>(
            formula, new, old, target, other, weight, factor, in_loss, gradient, &mut sums,
        );
        if !new_tail.is_empty() {
            let mut padded = [pad(gradient_tail)];
            registers::<F, W, K, LANES, FUSED, FACTOR>(
                formula,
                &[pad(new_tail)][..],
                &[pad(old_tail)][..],
                &[pad(target_tail)][..],
                &[pad(other_tail)][..],
                &[pad(weight_tail)][..],
                &[pad(factor_tail)][..],
                &[pad(mask_tail)],
                &mut padded,
                &mut sums,
            );
            gradient_tail.copy_from_slice(&padded[0][..gradient_tail.len()]);
        }
        sums.total()
    }
}

/// A register of what is left of a column.
#[inline(always)]
pub(crate) fn pad<T: Copy + Default, const LANES: usize>(tail: &[T]) -> [T; LANES] {
    let mut padded = [T::default(); LANES];
    padded[..tail.len()].copy_from_slice(tail);
    padded
}

/// The sum of all lanes.
#[inline(always)]
pub(crate) fn sum<F: Lane, const LANES: usize>(lanes: &[F; LANES]) -> f64 {
    fold(*lanes, |a, b| a + b).wide()
}

/// Folds halves together until one number is left: as many steps as `LANES` has bits, where a chain would take `LANES`.
#[inline(always)]
pub(crate) fn fold<F: Lane, const LANES: usize>(mut lanes: [F; LANES], with: impl Fn(F, F) -> F) -> F {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = with(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// The first token in the loss with a number that is not finite, or an overflow of finite ones. `first` is the index of
/// the first token of the columns.
#[cold]
pub(crate) fn first_offender<F: Lane>(columns: Columns<'_, F>, names: Names, first: usize) -> LossError {
    let Columns { new, old, target, other, factor, in_loss } = columns;
    for index in (0..new.len()).filter(|&index| in_loss[index]) {
        let columns = [new, old, target, other, factor.unwrap_or(new)];
        for (what, column) in names.into_iter().zip(columns) {
            let value = column[index].wide();
            if !value.is_finite() {
                return LossError::NotFinite { what, index: first + index, value };
            }
        }
    }
    LossError::NotFinite { what: "the loss of the stretch that begins", index: first, value: f64::INFINITY }
}
