//! The one loop under every per-token loss: value, gradient and statistics in a single pass over the columns.
//!
//! A chain of tensor operations would read and write a million tokens a dozen times; this reads each column once. The
//! compiler vectorises the body of an [`Objective`] over `LANES` tokens, with all sums in registers; they run in the float
//! of the columns inside a block and in f64 across blocks. A NaN or infinity costs two operations to notice (inputs
//! less themselves are summed) and is looked for only when it was.

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]
#![expect(clippy::eq_op, reason = "a number less itself is zero, unless it is not finite")]
#![expect(clippy::needless_range_loop, reason = "columns walked by index keep their sums in registers")]

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
    /// The term of one token; outside the loss all three are zero. `FUSED` as in [`Lane::times_plus`].
    ///
    /// To be marked `#[inline(always)]`, with everything it calls.
    fn term<const FUSED: bool>(self, new: F, old: F, target: F) -> Term<F, K>;
}

/// How the terms of a token are made: an objective of three columns, or one together with something of a fourth.
pub(crate) trait Formula<F, const K: usize>: Copy + Sync {
    /// Whether it reads the fourth column.
    const OTHER: bool = false;

    /// The term that is multiplied with the factor, and the one that is not. To be marked `#[inline(always)]`.
    fn terms<const FUSED: bool>(self, new: F, old: F, target: F, other: F) -> (Term<F, K>, Option<Term<F, 1>>);
}

/// An objective alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alone<O>(pub O);

impl<F, O: Objective<F, K>, const K: usize> Formula<F, K> for Alone<O> {
    #[inline(always)]
    fn terms<const FUSED: bool>(self, new: F, old: F, target: F, _: F) -> (Term<F, K>, Option<Term<F, 1>>) {
        (self.0.term::<FUSED>(new, old, target), None)
    }
}

/// The columns of a run of tokens, at most [`BLOCK`].
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
    /// The weight of each token.
    pub weight: &'a [F],
    /// A factor on it.
    pub factor: Option<&'a [F]>,
    /// Whether the token counts.
    pub in_loss: &'a [bool],
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

/// The terms of whole registers of tokens. The second number is zero if the columns are finite.
///
/// Written for the compiler: sums are local arrays, every column is a parameter of its own and is walked by index. It then
/// sees that columns do not overlap and keeps the sums in registers; with zipped iterators they live in memory, at half
/// the speed.
#[inline(always)]
fn registers<F: Lane, W: Formula<F, K>, const K: usize, const LANES: usize, const FUSED: bool, const FACTOR: bool>(
    formula: W,
    new: &[[F; LANES]],
    old: &[[F; LANES]],
    target: &[[F; LANES]],
    other: &[[F; LANES]],
    weight: &[[F; LANES]],
    factor: &[[F; LANES]],
    in_loss: &[[bool; LANES]],
    gradient: &mut [[F; LANES]],
) -> (Sums<K>, f64) {
    let zero = [<F as Lane>::ZERO; LANES];
    let (mut loss, mut poison, mut min, mut max, mut apart) = (zero, zero, zero, zero, zero);
    let mut stats = [zero; K];
    let n = gradient.len();
    let (new, old, target, other) = (&new[..n], &old[..n], &target[..n], &other[..n]);
    let (weight, factor, in_loss) = (&weight[..n], &factor[..n], &in_loss[..n]);
    for j in 0..n {
        for i in 0..LANES {
            let keep = in_loss[j][i];
            let (x, old, target) = (new[j][i].kept(keep), old[j][i].kept(keep), target[j][i].kept(keep));
            let other = if W::OTHER { other[j][i].kept(keep) } else { <F as Lane>::ZERO };
            let mut witness = (x - old) + target;
            let (term, term_apart) = formula.terms::<FUSED>(x, old, target, other);
            let (mut token_loss, mut slope) = (term.loss, term.grad);
            if W::OTHER {
                witness += other;
            }
            if FACTOR {
                let factor = factor[j][i].kept(keep);
                witness += factor;
                (token_loss, slope) = (token_loss * factor, slope * factor);
            }
            if let Some(term) = term_apart {
                (token_loss, slope) = (token_loss + term.loss, slope + term.grad);
                apart[i] += term.stats[0];
            }
            poison[i] += witness - witness;
            let weight = weight[j][i].kept(keep);
            loss[i] = token_loss.times_plus::<FUSED>(weight, loss[i]);
            gradient[j][i] = slope * weight;
            for k in 0..K {
                stats[k][i] += term.stats[k];
            }
            min[i] = term.stats[0].least(min[i]);
            max[i] = term.stats[0].most(max[i]);
        }
    }
    let mut sums = Sums::new();
    sums.loss = sum(&loss);
    sums.apart = sum(&apart);
    for k in 0..K {
        sums.stats[k] = sum(&stats[k]);
    }
    sums.min = fold(min, |a, b| b.least(a)).wide();
    sums.max = fold(max, |a, b| b.most(a)).wide();
    (sums, sum(&poison))
}

/// The terms of the columns: their sums, and their gradients, written to `gradient`.
///
/// All columns have one length, at most [`BLOCK`]. `None` if a number in the loss or the loss itself is not finite.
pub(crate) fn block<F: Lane, W: Formula<F, K>, const K: usize>(
    formula: W,
    columns: Columns<'_, F>,
    gradient: &mut [F],
) -> Option<Sums<K>> {
    match columns.factor {
        None => F::dispatch(Block::<F, W, K, false> { formula, columns, factor: columns.new, gradient }),
        Some(factor) => F::dispatch(Block::<F, W, K, true> { formula, columns, factor, gradient }),
    }
}

/// A block is a kernel of its own, and not the whole pass: in a larger function the compiler spills the sums.
struct Block<'a, F, W, const K: usize, const FACTOR: bool> {
    formula: W,
    columns: Columns<'a, F>,
    factor: &'a [F],
    gradient: &'a mut [F],
}

impl<F: Lane, W: Formula<F, K>, const K: usize, const FACTOR: bool> Kernel for Block<'_, F, W, K, FACTOR> {
    type Output = Option<Sums<K>>;

    #[inline(always)]
    fn run<const LANES: usize, const FUSED: bool>(self) -> Self::Output {
        let Self { formula, columns, factor, gradient } = self;
        let Columns { new, old, target, other, weight, factor: _, in_loss } = columns;
        let (new, new_tail) = new.as_chunks::<LANES>();
        let (old, old_tail) = old.as_chunks::<LANES>();
        let (target, target_tail) = target.as_chunks::<LANES>();
        let (other, other_tail) = other.as_chunks::<LANES>();
        let (weight, weight_tail) = weight.as_chunks::<LANES>();
        let (factor, factor_tail) = factor.as_chunks::<LANES>();
        let (in_loss, mask_tail) = in_loss.as_chunks::<LANES>();
        let (gradient, gradient_tail) = gradient.as_chunks_mut::<LANES>();
        let (mut sums, mut poison) = registers::<F, W, K, LANES, FUSED, FACTOR>(
            formula, new, old, target, other, weight, factor, in_loss, gradient,
        );
        if !new_tail.is_empty() {
            let mut padded = [pad(gradient_tail)];
            let (tail, poison_of_tail) = registers::<F, W, K, LANES, FUSED, FACTOR>(
                formula,
                &[pad(new_tail)],
                &[pad(old_tail)],
                &[pad(target_tail)],
                &[pad(other_tail)],
                &[pad(weight_tail)],
                &[pad(factor_tail)],
                &[pad(mask_tail)],
                &mut padded,
            );
            gradient_tail.copy_from_slice(&padded[0][..gradient_tail.len()]);
            (sums, poison) = (sums.merge(&tail), poison + poison_of_tail);
        }
        (poison + sums.loss * 0.0 == 0.0).then_some(sums)
    }
}

#[inline(always)]
fn pad<T: Copy + Default, const LANES: usize>(tail: &[T]) -> [T; LANES] {
    let mut padded = [T::default(); LANES];
    padded[..tail.len()].copy_from_slice(tail);
    padded
}

#[inline(always)]
fn sum<F: Lane, const LANES: usize>(lanes: &[F; LANES]) -> f64 {
    fold(*lanes, |a, b| a + b).wide()
}

/// Folds halves together until one number is left: as many steps as `LANES` has bits, where a chain would take `LANES`.
#[inline(always)]
fn fold<F: Lane, const LANES: usize>(mut lanes: [F; LANES], with: impl Fn(F, F) -> F) -> F {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = with(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// A function of two numbers.
pub(crate) trait Pairwise<F>: Copy {
    /// Its value; `FUSED` as in [`Lane::times_plus`]. To be marked `#[inline(always)]`.
    fn of<const FUSED: bool>(self, left: F, right: F) -> F;
}

/// The first less the second.
#[derive(Clone, Copy)]
pub(crate) struct Difference;

impl<F: Lane> Pairwise<F> for Difference {
    #[inline(always)]
    fn of<const FUSED: bool>(self, left: F, right: F) -> F {
        left - right
    }
}

/// Sum of what `pairwise` makes of every two numbers of tokens in the loss, and of zero and zero outside it.
pub(crate) fn pair_sum<F: Lane, P: Pairwise<F>>(pairwise: P, left: &[F], right: &[F], in_loss: &[bool]) -> f64 {
    pair_sums(pairwise, left, right, in_loss, &[left.len()])[0]
}

/// The same of each sequence; in one kernel, for sequences may be short.
pub(crate) fn pair_sums<F: Lane, P: Pairwise<F>>(
    pairwise: P,
    left: &[F],
    right: &[F],
    in_loss: &[bool],
    lengths: &[usize],
) -> Vec<f64> {
    F::dispatch(PairSums { pairwise, left, right, in_loss, lengths })
}

struct PairSums<'a, F, P> {
    pairwise: P,
    left: &'a [F],
    right: &'a [F],
    in_loss: &'a [bool],
    lengths: &'a [usize],
}

impl<F: Lane, P: Pairwise<F>> Kernel for PairSums<'_, F, P> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run<const LANES: usize, const FUSED: bool>(self) -> Vec<f64> {
        let Self { pairwise, left, right, in_loss, lengths } = self;
        // Sums of lanes are written down before they are added up: seeing both at once, the compiler vectorises the additions
        // of the end, two lanes at a time, and with them the loop.
        let mut blocks: Vec<[F; LANES]> = Vec::with_capacity(lengths.len() + left.len() / BLOCK);
        let mut start = 0;
        for &length in lengths {
            for part in (start..start + length).step_by(BLOCK) {
                let tokens = BLOCK.min(start + length - part);
                let (left, right, in_loss) = (&left[part..], &right[part..], &in_loss[part..]);
                blocks.push(pairs::<F, P, LANES, FUSED>(pairwise, left, right, in_loss, tokens));
            }
            start += length;
        }
        let mut blocks = blocks.iter();
        let of_sequence = |&length: &usize| blocks.by_ref().take(length.div_ceil(BLOCK)).map(sum).sum();
        lengths.iter().map(of_sequence).collect()
    }
}

/// The sums of lanes over the first `tokens` of columns that may be longer.
#[inline(always)]
fn pairs<F: Lane, P: Pairwise<F>, const LANES: usize, const FUSED: bool>(
    pairwise: P,
    left: &[F],
    right: &[F],
    in_loss: &[bool],
    tokens: usize,
) -> [F; LANES] {
    let mut lanes = [<F as Lane>::ZERO; LANES];
    let n = tokens / LANES;
    let (whole_left, whole_right) = (&left.as_chunks::<LANES>().0[..n], &right.as_chunks::<LANES>().0[..n]);
    let whole_mask = &in_loss.as_chunks::<LANES>().0[..n];
    for j in 0..n {
        for i in 0..LANES {
            let keep = whole_mask[j][i];
            lanes[i] += pairwise.of::<FUSED>(whole_left[j][i].kept(keep), whole_right[j][i].kept(keep));
        }
    }
    let (done, rest) = (n * LANES, (tokens % LANES) as u32);
    if rest == 0 {
        return lanes;
    }
    let (left, right, in_loss) = (&left[done..], &right[done..], &in_loss[done..]);
    let (left, right) = (first::<F, LANES>(left), first::<F, LANES>(right));
    let in_loss = first::<bool, LANES>(in_loss);
    for i in 0..LANES {
        let keep = in_loss[i] && (i as u32) < rest;
        lanes[i] += pairwise.of::<FUSED>(left[i].kept(keep), right[i].kept(keep));
    }
    lanes
}

/// A register of what a column begins with; read where it lies, which is faster than a copy, where the column goes on for long
/// enough.
#[inline(always)]
fn first<T: Copy + Default, const LANES: usize>(column: &[T]) -> [T; LANES] {
    column.first_chunk().copied().unwrap_or_else(|| pad(column))
}

/// The first token in the loss with a number that is not finite, or an overflow of finite ones. `first` is the index of
/// the first token of the columns.
#[cold]
pub(crate) fn first_offender<F: Lane>(columns: Columns<'_, F>, names: Names, first: usize) -> LossError {
    let Columns { new, old, target, other, factor, in_loss, .. } = columns;
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
