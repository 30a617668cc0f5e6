//! Sums over two columns, of tokens in the loss: what a loss must know of a sequence before it goes over its tokens.

#![expect(clippy::inline_always, reason = "the loop vectorises only if the whole term is inlined into it")]
#![expect(clippy::needless_range_loop, reason = "columns walked by index keep their sums in registers")]

use std::hint::black_box;

use marft_torch::lanes::Kernel;

use super::fused::{BLOCK, pad, sum};
use super::lane::Lane;

/// What is gathered of two numbers each.
pub(crate) trait Pairwise<F, const N: usize>: Copy {
    /// What was gathered before, with two numbers more; two zeros must change nothing. To be marked `#[inline(always)]`.
    fn with(self, gathered: [F; N], left: F, right: F) -> [F; N];
}

/// The sum of the first less the second.
#[derive(Clone, Copy)]
pub(crate) struct Difference;

impl<F: Lane> Pairwise<F, 1> for Difference {
    #[inline(always)]
    fn with(self, [sum]: [F; 1], left: F, right: F) -> [F; 1] {
        [sum + (left - right)]
    }
}

/// The sum of what `pairwise` makes of tokens in the loss.
pub(crate) fn pair_sum<F: Lane, P: Pairwise<F, 1>>(pairwise: P, left: &[F], right: &[F], in_loss: &[bool]) -> f64 {
    F::dispatch(PairSum { pairwise, left, right, in_loss })
}

struct PairSum<'a, F, P> {
    pairwise: P,
    left: &'a [F],
    right: &'a [F],
    in_loss: &'a [bool],
}

impl<F: Lane, P: Pairwise<F, 1>> Kernel for PairSum<'_, F, P> {
    type Output = f64;

    #[inline(always)]
    fn run<const LANES: usize, const FUSED: bool>(self) -> f64 {
        let Self { pairwise, left, right, in_loss } = self;
        let sum_from = |start: usize| {
            let tokens = BLOCK.min(left.len() - start);
            sum(&pairs::<F, P, 1, LANES>(pairwise, &left[start..], &right[start..], &in_loss[start..], tokens)[0])
        };
        (0..left.len()).step_by(BLOCK).map(sum_from).sum()
    }
}

/// What each lane gathers over the first `tokens` of columns that may be longer; at most [`BLOCK`], for it is kept in the
/// float of the columns.
#[inline(always)]
pub(crate) fn pairs<F: Lane, P: Pairwise<F, N>, const N: usize, const LANES: usize>(
    pairwise: P,
    left: &[F],
    right: &[F],
    in_loss: &[bool],
    tokens: usize,
) -> [[F; LANES]; N] {
    let mut lanes = [[<F as Lane>::ZERO; LANES]; N];
    let n = tokens / LANES;
    let (whole_left, whole_right) = (&left.as_chunks::<LANES>().0[..n], &right.as_chunks::<LANES>().0[..n]);
    let whole_mask = &in_loss.as_chunks::<LANES>().0[..n];
    for j in 0..n {
        for i in 0..LANES {
            let keep = whole_mask[j][i];
            let (left, right) = (whole_left[j][i].kept(keep), whole_right[j][i].kept(keep));
            let gathered = pairwise.with(std::array::from_fn(|k| lanes[k][i]), left, right);
            for k in 0..N {
                lanes[k][i] = gathered[k];
            }
        }
    }
    let (done, rest) = (n * LANES, tokens % LANES);
    if rest > 0 {
        let in_loss = first_of::<LANES>(&in_loss[done..], rest);
        let (left, right) = (first::<F, LANES>(&left[done..]), first::<F, LANES>(&right[done..]));
        for i in 0..LANES {
            let (left, right) = (left[i].kept(in_loss[i]), right[i].kept(in_loss[i]));
            let gathered = pairwise.with(std::array::from_fn(|k| lanes[k][i]), left, right);
            for k in 0..N {
                lanes[k][i] = gathered[k];
            }
        }
    }
    // Written down before they are added up: seeing both at once, the compiler vectorises the additions of the end, two lanes
    // at a time, and with them the loop.
    black_box(lanes)
}

/// A register of what a column begins with; read where it lies, which is faster than a copy, where the column goes on for long
/// enough.
#[inline(always)]
pub(crate) fn first<T: Copy + Default, const LANES: usize>(column: &[T]) -> [T; LANES] {
    column.first_chunk().copied().unwrap_or_else(|| pad(column))
}

/// The same of a mask, of which only the first `tokens` hold.
#[inline(always)]
pub(crate) fn first_of<const LANES: usize>(in_loss: &[bool], tokens: usize) -> [bool; LANES] {
    let mut register = first::<bool, LANES>(in_loss);
    for i in 0..LANES {
        register[i] &= (i as u32) < tokens as u32;
    }
    register
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths around a register and a block, on columns that go on after them, end with them, and hold junk where masked.
    #[test]
    fn sums_stop_where_they_should() {
        let left: Vec<f32> = (0..2100).map(|i| if i % 3 == 0 { f32::NAN } else { (i % 7) as f32 }).collect();
        let (right, in_loss) = (vec![1.0; left.len()], (0..left.len()).map(|i| i % 3 != 0).collect::<Vec<_>>());
        let want = |n: usize| (0..n).filter(|i| i % 3 != 0).map(|i| (i % 7) as f64 - 1.0).sum::<f64>();
        for n in [0, 1, 15, 16, 17, 500, 1023, 1024, 1025, 2099, 2100] {
            assert_eq!(pair_sum(Difference, &left[..n], &right[..n], &in_loss[..n]), want(n), "{n} tokens");
            if n <= BLOCK {
                let lanes = pairs::<f32, Difference, 1, 16>(Difference, &left, &right, &in_loss, n);
                assert_eq!(sum(&lanes[0]), want(n), "{n} tokens of more");
            }
        }
    }
}
