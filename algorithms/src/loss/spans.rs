//! The cut of a batch into runs of whole sequences: what one thread works on at a time.
//!
//! The cut depends on the batch alone, and sums over runs are added in their order. So a loss does not depend on the number
//! of threads.

use std::ops::Range;

/// Tokens worked on at a time: a few columns of this length stay in the second-level cache.
const SPAN: usize = 16_384;

/// Whole sequences worked on together.
#[derive(Debug, Clone)]
pub(crate) struct Span<'a> {
    /// Their tokens in the flat batch.
    pub tokens: Range<usize>,
    /// Which they are.
    pub sequences: Range<usize>,
    /// Tokens per sequence.
    pub lengths: &'a [usize],
}

/// Cuts a batch into runs of whole sequences of about [`SPAN`] tokens.
pub(crate) fn spans(lengths: &[usize]) -> impl Iterator<Item = Span<'_>> {
    let (mut sequence, mut token) = (0, 0);
    std::iter::from_fn(move || {
        let (from, start) = (sequence, token);
        while sequence < lengths.len() && (sequence == from || token - start + lengths[sequence] <= SPAN) {
            token += lengths[sequence];
            sequence += 1;
        }
        (sequence > from).then(|| Span {
            tokens: start..token,
            sequences: from..sequence,
            lengths: &lengths[from..sequence],
        })
    })
}

/// The lengths to give where sequences do not matter: runs of a span each.
pub(crate) fn even_lengths(tokens: usize) -> Vec<usize> {
    (0..tokens).step_by(SPAN).map(|start| SPAN.min(tokens - start)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_every_sequence_once() {
        let lengths = [10, 40_000, 5, 0, 13_000, 3379, 1];
        let cut: Vec<_> = spans(&lengths).map(|span| (span.tokens, span.lengths.len())).collect();
        assert_eq!(cut, [(0..10, 1), (10..40_010, 1), (40_010..56_394, 4), (56_394..56_395, 1)]);
        assert_eq!(spans(&[]).count(), 0);
        assert_eq!(even_lengths(SPAN + 3), [SPAN, 3]);
        assert!(even_lengths(0).is_empty());
    }
}
