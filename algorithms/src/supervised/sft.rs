//! # What it is
//! Supervised fine-tuning: the negative log-likelihood of the demonstrated tokens, each with a weight.
//!
//! # Objective (formula)
//! ```text
//! L = - Σ_t m_t w_t log π(x_t | x_<t) / Σ_t m_t w_t
//! ```
//! w = 1 is plain SFT; w = advantage filter, quality score or tree weight gives the weighted kinds.
//!
//! # When to use it, when not
//! For cold starts, distillation and rejection-sampling rounds (RFT). Packed and unpacked batches give the same number,
//! because the mean is over weights and not over rows.
//!
//! # Shapes, units, errors
//! `logp` `[n]` with gradient, nats; `in_loss` `[n]`; weights `[n]`, at least 0. When a batch is cut in chunks, give
//! each chunk the whole batch's weight sum. Refused: other lengths, a NaN or infinity in the loss, a negative weight.
//! No weight at all gives 0, not 0/0.
//!
//! # References
//! Ouyang et al., arXiv 2203.02155. TRL `SFTTrainer` (`completion_only_loss`, `assistant_only_loss`).
//!
//! # Example
//! ```
//! use marft_algorithms::supervised::{SftWeights, sft};
//! let logp = tch::Tensor::from_slice(&[-1.0_f64, -3.0, -9.0]).set_requires_grad(true);
//! let weights = SftWeights { token: Some(&[1.0, 0.5, 1.0]), total: None };
//! let out = sft(&logp, &[true, true, false], &weights)?;
//! assert!((out.value - (1.0 + 0.5 * 3.0) / 1.5).abs() < 1e-12);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]

use marft_torch::parallel::parallel_map;
use tch::Tensor;

use crate::loss::{
    BLOCK, Lane, LossError, Objective, Pairwise, ScalarLoss, Spread, Term, count_kept, even_lengths, pair_sum,
    same_length, spread_column, within,
};

/// The weights of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SftWeights<'a, F> {
    /// `[n]` One weight per token; `None` is 1 for each.
    pub token: Option<&'a [F]>,
    /// Sum of the weights in the loss over the whole batch, when this is a chunk of it; `None` sums this batch.
    pub total: Option<f64>,
}

#[derive(Clone, Copy)]
struct Likelihood;

impl<F: Lane> Objective<F, 1> for Likelihood {
    const COLUMNS: usize = 1;

    #[inline(always)]
    fn term<const FUSED: bool>(self, logp: F, _: F, _: F) -> Term<F, 1> {
        Term { loss: -logp, grad: -F::ONE, stats: [logp] }
    }
}

/// The weighted negative log-likelihood; `mean` of the result is the plain mean log-probability. See the
/// [module documentation](self).
pub fn sft<F: Lane>(logp: &Tensor, in_loss: &[bool], weights: &SftWeights<'_, F>) -> crate::Result<ScalarLoss> {
    let total = match (weights.total, weights.token) {
        (Some(total), _) => total,
        (None, Some(token)) => weight_sum(token, in_loss)?,
        (None, None) => count_kept(in_loss) as f64,
    };
    within(
        "total weight",
        total,
        total >= 0.0 && total.is_finite(),
        "[0, inf)",
        "sum the weights of tokens in the loss",
    )?;
    if let Some(token) = weights.token {
        same_length("weight", token.len(), in_loss.len())?;
    }
    let unit = if total > 0.0 { 1.0 / total } else { 0.0 };
    let lengths = even_lengths(in_loss.len());
    Ok(spread_column("logp", logp, None, Some(in_loss), &lengths, Likelihood, Spread::Even(unit), weights.token)?)
}

/// Sum of the weights of the tokens in the loss; what [`SftWeights::total`] wants of a whole batch.
pub fn weight_sum<F: Lane>(weight: &[F], in_loss: &[bool]) -> crate::Result<f64> {
    same_length("weight", weight.len(), in_loss.len())?;
    let sums = parallel_map(weight.len().div_ceil(STRETCH), |index| {
        let range = index * STRETCH..((index + 1) * STRETCH).min(weight.len());
        let (weight, in_loss) = (&weight[range.clone()], &in_loss[range]);
        pair_sum(NotNegative, weight, weight, in_loss)
    });
    let total: f64 = sums.map_err(LossError::from)?.into_iter().sum();
    if total.is_finite() { Ok(total) } else { Err(first_bad_weight(weight, in_loss).into()) }
}

/// Tokens summed by one thread at a time.
const STRETCH: usize = 32 * BLOCK;

/// The sum of numbers, or NaN where one is negative.
#[derive(Clone, Copy)]
struct NotNegative;

impl<F: Lane> Pairwise<F, 1> for NotNegative {
    #[inline(always)]
    fn with(self, [sum]: [F; 1], weight: F, _: F) -> [F; 1] {
        [sum + if weight >= <F as Lane>::ZERO { weight } else { F::narrow(f64::NAN) }]
    }
}

#[cold]
fn first_bad_weight<F: Lane>(weight: &[F], in_loss: &[bool]) -> LossError {
    for (index, (w, _)) in weight.iter().zip(in_loss).enumerate().filter(|(_, (_, keep))| **keep) {
        let value = w.wide();
        if !value.is_finite() {
            return LossError::NotFinite { what: "weight", index, value };
        }
        let hint = "to push a token away, use a policy loss with a negative advantage";
        if let Err(error) = within("weight", value, value >= 0.0, "[0, inf)", hint) {
            return error;
        }
    }
    LossError::NotFinite { what: "the sum of the weights from", index: 0, value: f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    /// By hand: (2*1 + 1*2) / 3; the third token has weight 0, the fourth is an observation.
    #[test]
    fn weights_scale_tokens() {
        let logp = variable(&[-1.0, -2.0, -5.0, f64::NEG_INFINITY]);
        let weights = SftWeights { token: Some(&[2.0, 1.0, 0.0, 7.0][..]), total: None };
        let out = sft(&logp, &[true, true, true, false], &weights).unwrap();
        assert_close(&[out.value, out.loss.double_value(&[])], &[4.0 / 3.0; 2], 1e-12);
        assert_close(&gradient(&out.loss, &logp), &[-2.0 / 3.0, -1.0 / 3.0, 0.0, 0.0], 1e-12);
        assert_close(&[out.mean], &[-8.0 / 3.0], 1e-12);
    }

    #[test]
    fn chunks_add_up_to_the_whole() {
        let (all, mask) = ([-1.0, -2.0, -5.0, -0.5], [true, false, true, true]);
        let whole = sft::<f64>(&variable(&all), &mask, &SftWeights::default()).unwrap().value;
        let part = |range: std::ops::Range<usize>| {
            let weights = SftWeights::<f64> { token: None, total: Some(3.0) };
            sft(&variable(&all[range.clone()]), &mask[range], &weights).unwrap().value
        };
        assert_close(&[part(0..1) + part(1..4)], &[whole], 1e-12);
    }

    #[test]
    fn nothing_to_learn_is_zero_and_a_negative_weight_is_refused() {
        let nothing = sft::<f64>(&variable(&[-1.0]), &[false], &SftWeights::default()).unwrap();
        assert_eq!((nothing.value, nothing.tokens), (0.0, 0));
        let weights = SftWeights { token: Some(&[-1.0][..]), total: None };
        assert!(sft(&variable(&[-1.0]), &[true], &weights).is_err());
    }
}
