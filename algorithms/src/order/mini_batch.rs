//! Mini-batches: every row once, no row dropped.
//!
//! # What it is
//!
//! A seeded shuffle of the rows, cut into parts whose sizes differ by at most one. A row keeps all its agents and tokens.
//!
//! # Objective
//!
//! ```text
//! part j of b over n rows has floor(n / b) rows, the first n mod b parts one more
//! ```
//!
//! # When to use it, when not
//!
//! For every update with more than one optimizer step per batch. [`drop_remainder`] reproduces programs that lose the
//! last n mod b rows; only for comparison with them.
//!
//! # Shapes, units, errors
//!
//! Row numbers `0..rows`. Refuses more parts than rows, and no parts.
//!
//! # References
//!
//! Bottou 2012, Stochastic gradient descent tricks (shuffle, then pass over everything).
//!
//! # Example
//!
//! ```
//! use marft_algorithms::order::mini_batch::mini_batches;
//! let sizes: Vec<usize> = mini_batches(7, 3, 1)?.iter().map(Vec::len).collect();
//! assert_eq!(sizes, [3, 2, 2]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use super::OrderError;
use super::shuffle::permutation;
use crate::Result;

/// Row numbers by mini-batch. See the [module documentation](self).
pub fn mini_batches(rows: usize, batches: usize, seed: u64) -> Result<Vec<Vec<usize>>> {
    if batches == 0 || batches > rows {
        return Err(OrderError::TooManyBatches { rows, batches }.into());
    }
    let order = permutation(rows, seed);
    let (size, larger) = (rows / batches, rows % batches);
    let (front, back) = order.split_at(larger * (size + 1));
    Ok(front.chunks(size + 1).chain(back.chunks(size)).map(<[usize]>::to_vec).collect())
}

/// The same with equal sizes, losing the rest of the rows: the behaviour of MARFT's first release.
pub fn drop_remainder(rows: usize, batches: usize, seed: u64) -> Result<Vec<Vec<usize>>> {
    if batches == 0 || batches > rows {
        return Err(OrderError::TooManyBatches { rows, batches }.into());
    }
    Ok(permutation(rows, seed).chunks_exact(rows / batches).take(batches).map(<[usize]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_behaviour_loses_rows_and_ours_does_not() {
        let kept = |parts: Vec<Vec<usize>>| parts.iter().map(Vec::len).sum::<usize>();
        assert_eq!(kept(drop_remainder(10, 4, 0).unwrap()), 8);
        assert_eq!(kept(mini_batches(10, 4, 0).unwrap()), 10);
    }

    #[test]
    fn more_batches_than_rows_are_refused() {
        assert!(mini_batches(2, 3, 0).is_err());
        assert!(mini_batches(2, 0, 0).is_err());
        assert!(drop_remainder(2, 3, 0).is_err());
    }
}
