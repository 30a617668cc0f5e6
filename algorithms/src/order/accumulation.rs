//! Gradient accumulation that does not depend on how a batch is cut into chunks.
//!
//! # What it is
//!
//! The weight that turns the *mean* loss of a chunk into its part of the batch's loss. A loss averaged over tokens must be
//! weighted by tokens; weighting it by rows, as some programs do, changes the gradient with the chunk size.
//!
//! # Objective
//!
//! ```text
//! L = sum_c w_c L_c      w_c = (tokens or rows of chunk c) / (tokens or rows of the batch)
//! ```
//!
//! # When to use it, when not
//!
//! Whenever a batch does not fit. Losses that divide by a constant need no weight: sum the chunks.
//!
//! # Shapes, units, errors
//!
//! Counts per chunk; weights sum to 1. A chunk without tokens weighs 0, also if its mean is undefined: do not run it.
//! Refuses a batch without anything in the loss.
//!
//! # References
//!
//! The row-weighted defect is that of MARFT's first release at the token level, and of early transformers (issue 34198).
//!
//! # Example
//!
//! ```
//! use marft_algorithms::order::accumulation::chunk_weights;
//! assert_eq!(chunk_weights(&[3, 1])?, [0.75, 0.25]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use super::OrderError;
use crate::Result;

/// The weight of each chunk's mean loss, from the number of tokens (or rows) in the loss of each chunk.
pub fn chunk_weights(counts: &[u64]) -> Result<Vec<f64>> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return Err(OrderError::EmptyBatch { unit: "token or row" }.into());
    }
    Ok(counts.iter().map(|&count| count as f64 / total as f64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_chunk_weighs_nothing_and_an_empty_batch_is_refused() {
        assert_eq!(chunk_weights(&[0, 4]).unwrap(), [0.0, 1.0]);
        assert!(chunk_weights(&[0, 0]).is_err());
        assert!(chunk_weights(&[]).is_err());
    }
}
