//! The walk over a span whose tokens have nothing to do with one another: block by block.

use std::ops::Range;

use marft_torch::lanes::Kernel;

use super::fused::{BLOCK, Columns, Formula, Sums, block};
use super::lane::Lane;
use super::pass::{Spread, Walk};

/// A formula of single tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tokens<W>(pub W);

impl<F: Lane, W: Formula<F, K>, const K: usize> Walk<F, K> for Tokens<W> {
    /// Weights are written into scratch of a block, a thousand tokens, so that they never reach memory.
    fn span(
        self,
        columns: Columns<'_, F>,
        lengths: &[usize],
        spread: Spread<'_>,
        gradient: &mut [F],
    ) -> Option<Sums<K>> {
        let uniform = spread.uniform();
        let weights: Vec<F> = if uniform.is_some() {
            vec![]
        } else {
            (0..lengths.len()).map(|sequence| F::narrow(spread.weight(sequence))).collect()
        };
        let mut weight = [F::narrow(uniform.unwrap_or(0.0)); BLOCK];
        let (mut sums, mut cursor) = (Sums::new(), Cursor::default());
        for start in (0..gradient.len()).step_by(BLOCK) {
            let tokens = start..(start + BLOCK).min(gradient.len());
            let weight = &mut weight[..tokens.len()];
            if uniform.is_none() {
                cursor.fill(lengths, &weights, weight);
            }
            sums = sums.merge(&block(self.0, columns.part(&tokens), weight, &mut gradient[tokens])?);
        }
        Some(sums)
    }
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
