//! How per-token terms become one number.
//!
//! # What it is
//! The weight each token gets in the loss. It decides whether a long answer counts as much as a short one, and is the
//! only difference between several named algorithms.
//!
//! # Objective (formula)
//! With S sequences that have a token in the loss, n_s such tokens in sequence s, and N = Σ n_s:
//!
//! | name | loss | weight of a token |
//! |---|---|---|
//! | `token-mean` | Σ_s Σ_t l / N | 1 / N |
//! | `seq-mean-token-sum` | Σ_s (Σ_t l) / S | 1 / S |
//! | `seq-mean-token-mean` | Σ_s (Σ_t l / n_s) / S | 1 / (S n_s) |
//! | `seq-mean-token-sum-norm` = D | Σ_s (Σ_t l / D) / S | 1 / (S D) |
//!
//! # When to use it, when not
//! `token-mean` (DAPO, verl's default) lets long answers weigh more; `seq-mean-token-mean` (GRPO as printed) makes
//! every answer weigh the same, and so punishes a long wrong answer less per token; the fixed divisor (Dr. GRPO) has
//! neither bias but needs D near the usual length to keep the learning rate meaningful.
//!
//! # Shapes, units, errors
//! N and S are counted over the [`Totals`] given with the batch. When a batch is cut in chunks for gradient
//! accumulation, give every chunk the totals of the whole: the chunk losses then add up to the loss of the whole.
//! Sequences without a token in the loss are not counted. (TRL's `grpo` and `dr_grpo` count them; set
//! `Totals::sequences` yourself for that.)
//!
//! # References
//! GRPO: arXiv 2402.03300. DAPO: arXiv 2503.14476. Dr. GRPO: arXiv 2503.20783. Names: verl `loss_agg_mode`.
//!
//! # Example
//! ```
//! use marft_algorithms::loss::{Aggregation, Totals};
//! let totals = Totals::count(&[true, true, false, true], &[3, 1]);
//! assert_eq!((totals.tokens, totals.sequences), (3, 2));
//! assert_eq!(Aggregation::TokenMean.weight(totals, 2), 1.0 / 3.0);
//! assert_eq!(Aggregation::SeqMeanTokenMean.weight(totals, 2), 1.0 / 4.0);
//! ```

use marft_torch::lanes::{self, Kernel};
use serde::Deserialize;

use super::error::{LossError, positive};

/// How per-token terms become one number. See the [module documentation](self).
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Mean over all tokens of the batch.
    #[default]
    TokenMean,
    /// Sum over the tokens of a sequence, mean over sequences.
    SeqMeanTokenSum,
    /// Mean over the tokens of a sequence, mean over sequences.
    SeqMeanTokenMean,
    /// Sum over the tokens of a sequence divided by this constant (tokens, usually the longest answer allowed), mean
    /// over sequences.
    #[serde(alias = "fixed-divisor")]
    SeqMeanTokenSumNorm(f64),
}

/// The counts over which means are taken: those of the whole batch, also when only a chunk of it is at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Tokens in the loss.
    pub tokens: usize,
    /// Sequences with at least one token in the loss.
    pub sequences: usize,
}

impl Totals {
    /// Counts a flat batch: `in_loss` per token, `lengths` (tokens, in the loss or not) per sequence.
    pub fn count(in_loss: &[bool], lengths: &[usize]) -> Self {
        Self::of(&counts(in_loss, lengths))
    }

    /// The totals of sequences with so many tokens in the loss.
    pub(crate) fn of(counts: &[usize]) -> Self {
        let sequences = counts.iter().filter(|tokens| **tokens > 0).count();
        Self { tokens: counts.iter().sum(), sequences }
    }
}

/// How many tokens of each sequence are in the loss; columns that are too short are counted as far as they go.
pub(crate) fn counts(in_loss: &[bool], lengths: &[usize]) -> Vec<usize> {
    lanes::dispatch(Counts(in_loss, lengths))
}

struct Counts<'a>(&'a [bool], &'a [usize]);

impl Kernel for Counts<'_> {
    type Output = Vec<usize>;

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "what a kernel calls is compiled with it")]
    fn run<const LANES: usize, const FUSED: bool>(self) -> Vec<usize> {
        let Self(mut rest, lengths) = self;
        let mut counts = Vec::with_capacity(lengths.len());
        for &length in lengths {
            let (sequence, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            counts.push(CountKept(sequence).run::<LANES, FUSED>());
        }
        counts
    }
}

/// How many entries are true.
pub(crate) fn count_kept(in_loss: &[bool]) -> usize {
    lanes::dispatch(CountKept(in_loss))
}

/// As [`count_kept`], inside a kernel.
pub(crate) struct CountKept<'a>(pub &'a [bool]);

impl Kernel for CountKept<'_> {
    type Output = usize;

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "what a kernel calls is compiled with it")]
    fn run<const LANES: usize, const FUSED: bool>(self) -> usize {
        // Sums of bytes vectorise; 192 of them fit a byte, and are whole registers of every width.
        let sum = |bytes: &[bool]| usize::from(bytes.iter().map(|&keep| u8::from(keep)).sum::<u8>());
        let (whole, rest) = self.0.as_chunks::<192>();
        let (parts, tail) = rest.as_chunks::<16>();
        let whole: usize = whole.iter().map(|chunk| sum(chunk)).sum();
        whole + parts.iter().map(|chunk| sum(chunk)).sum::<usize>() + sum(tail)
    }
}

impl Aggregation {
    /// The weight of each token of a sequence that has `tokens` tokens in the loss. 0 where nothing is in the loss.
    pub fn weight(self, totals: Totals, tokens: usize) -> f64 {
        let sequences = totals.sequences as f64;
        let divisor = match self {
            Self::TokenMean => totals.tokens as f64,
            Self::SeqMeanTokenSum => sequences,
            Self::SeqMeanTokenMean => sequences * tokens as f64,
            Self::SeqMeanTokenSumNorm(constant) => sequences * constant,
        };
        if divisor > 0.0 { 1.0 / divisor } else { 0.0 }
    }

    /// Whether every token of the batch has the same weight.
    pub(crate) fn is_uniform(self) -> bool {
        self != Self::SeqMeanTokenMean
    }

    pub(crate) fn check(self) -> Result<(), LossError> {
        match self {
            Self::SeqMeanTokenSumNorm(constant) => positive(
                "aggregation.seq-mean-token-sum-norm",
                constant,
                "give the longest answer allowed, in tokens, for example 1024",
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_verl() {
        let read = |text: &str| serde_json::from_str::<Aggregation>(text).unwrap();
        assert_eq!(read("\"token-mean\""), Aggregation::TokenMean);
        assert_eq!(read("\"seq-mean-token-sum\""), Aggregation::SeqMeanTokenSum);
        assert_eq!(read("\"seq-mean-token-mean\""), Aggregation::SeqMeanTokenMean);
        assert_eq!(read("{\"seq-mean-token-sum-norm\": 1024}"), Aggregation::SeqMeanTokenSumNorm(1024.0));
        assert_eq!(read("{\"fixed-divisor\": 8}"), Aggregation::SeqMeanTokenSumNorm(8.0));
        assert!(serde_json::from_str::<Aggregation>("\"mean\"").is_err());
    }

    /// Two sequences of 3 and 1 tokens, l = 1 everywhere: 1; 4/2; 1; 4/(2*8).
    #[test]
    fn weights_add_up() {
        let totals = Totals { tokens: 4, sequences: 2 };
        let sum = |mode: Aggregation| 3.0 * mode.weight(totals, 3) + mode.weight(totals, 1);
        assert!((sum(Aggregation::TokenMean) - 1.0).abs() < 1e-15);
        assert!((sum(Aggregation::SeqMeanTokenSum) - 2.0).abs() < 1e-15);
        assert!((sum(Aggregation::SeqMeanTokenMean) - 1.0).abs() < 1e-15);
        assert!((sum(Aggregation::SeqMeanTokenSumNorm(8.0)) - 0.25).abs() < 1e-15);
    }

    #[test]
    fn a_sequence_outside_the_loss_is_not_counted() {
        let totals = Totals::count(&[true, false, false, true, true], &[1, 2, 2]);
        assert_eq!(totals, Totals { tokens: 3, sequences: 2 });
        assert_eq!(Aggregation::TokenMean.weight(Totals::default(), 0), 0.0);
        assert_eq!(count_kept(&vec![true; 1000]), 1000);
    }

    #[test]
    fn a_divisor_of_zero_is_refused() {
        assert!(Aggregation::SeqMeanTokenSumNorm(0.0).check().is_err());
        assert!(Aggregation::SeqMeanTokenSumNorm(f64::NAN).check().is_err());
    }
}
