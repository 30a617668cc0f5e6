//! # What it is
//! The log-probability of a whole action from those of its tokens, in three normalisations.
//!
//! # Objective (formula)
//! ```text
//! sum         log π(a) = Σ_k log π(w_k | w_<k)
//! token mean  the same / number of tokens
//! word mean   the same / number of whitespace-separated words of the decoded text (at least 1)
//! ```
//!
//! # When to use it, when not
//! Action-level algorithms (MARFT-A) take ratios of whole actions. The plain sum is the probability of the string; over
//! a few hundred tokens its ratio explodes, and the means tame it at the price of being no probability any more. The
//! token mean is also how an action's entropy is made of its tokens' entropies.
//!
//! # Shapes, units, errors
//! `logp` `[n]` with gradient, nats; `lengths` tokens per action, in order, summing to n; tokens outside `in_loss`
//! count for nothing. Result `[actions]`, gradient included. An action without a token in the loss has log-probability
//! 0.
//!
//! # References
//! TWOSOME, arXiv 2401.14151; MARFT, arXiv 2504.16129 (`normalization_mode`).
//!
//! # Example
//! ```
//! use marft_algorithms::action_logprob::{ActionLogprob, action_logprob};
//! let logp = tch::Tensor::from_slice(&[-1.0_f64, -2.0, -4.0]).set_requires_grad(true);
//! let sum = action_logprob(&logp, &[true; 3], &[2, 1], ActionLogprob::Sum)?;
//! assert_eq!(Vec::<f64>::try_from(sum).unwrap(), [-3.0, -4.0]);
//! let mean = action_logprob(&logp, &[true; 3], &[2, 1], ActionLogprob::TokenMean)?;
//! assert_eq!(Vec::<f64>::try_from(mean).unwrap(), [-1.5, -4.0]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use tch::Tensor;

use crate::loss::{LossError, count_kept, same_length, token_count};

/// The normalisation of an action's log-probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ActionLogprob<'a> {
    /// No normalisation; MARFT's default.
    #[default]
    Sum,
    /// By the tokens in the loss.
    TokenMean,
    /// By words: one count per action, of the decoded text. A count of 0 is taken as 1.
    WordMean(&'a [usize]),
}

/// Log-probability per action. See the [module documentation](self).
pub fn action_logprob(
    logp: &Tensor,
    in_loss: &[bool],
    lengths: &[usize],
    mode: ActionLogprob<'_>,
) -> crate::Result<Tensor> {
    let tokens = token_count("logp", logp)?;
    same_length("in_loss", in_loss.len(), tokens)?;
    same_length("the sum of lengths", lengths.iter().sum(), tokens)?;
    let mut divisor = Vec::with_capacity(lengths.len());
    let (mut action, mut start) = (Vec::with_capacity(tokens), 0);
    for (index, &length) in lengths.iter().enumerate() {
        action.resize(start + length, index as i64);
        divisor.push(match mode {
            ActionLogprob::Sum => 1.0,
            ActionLogprob::TokenMean => count_kept(&in_loss[start..start + length]).max(1) as f64,
            ActionLogprob::WordMean(words) => {
                same_length("words", words.len(), lengths.len())?;
                words[index].max(1) as f64
            }
        });
        start += length;
    }
    Ok(segment_sums(logp, in_loss, &action, &divisor)?)
}

fn segment_sums(logp: &Tensor, in_loss: &[bool], action: &[i64], divisor: &[f64]) -> Result<Tensor, LossError> {
    let (kind, device) = (logp.kind(), logp.device());
    let mask = Tensor::f_from_slice(in_loss)?.f_to_device(device)?;
    // `where` keeps a NaN outside the loss out of value and gradient; a product with the mask would not.
    let kept = logp.f_where_self(&mask, &Tensor::f_zeros([1], (kind, device))?)?;
    let index = Tensor::f_from_slice(action)?.f_to_device(device)?;
    let sums = Tensor::f_zeros([divisor.len() as i64], (kind, device))?.f_index_add(0, &index, &kept)?;
    let divisor = Tensor::f_from_slice(divisor)?.f_to_kind(kind)?.f_to_device(device)?;
    Ok(sums.f_div(&divisor)?)
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    /// Fixture `action_logprob_from_logits`: three tokens of one action, two words.
    #[test]
    fn the_reference_numbers() {
        let logits = variable(&[2.0, 1.0, 0.1, -1.0, 0.5, 0.3, 0.3, 2.2, 0.0, -0.7, 1.5, -0.5, 0.0, 0.9, 1.1]);
        let log_softmax = logits.reshape([3, 5]).log_softmax(-1, Kind::Double);
        let logp = log_softmax.gather(1, &Tensor::from_slice(&[0i64, 2, 4]).unsqueeze(1), false).squeeze_dim(1);
        let run = |mode| action_logprob(&logp, &[true; 3], &[3], mode).unwrap();
        let value = |tensor: &Tensor| Vec::<f64>::try_from(tensor).unwrap();
        assert_close(&value(&run(ActionLogprob::Sum)), &[-2.311_107_696_566_286_2], 1e-9);
        assert_close(&value(&run(ActionLogprob::TokenMean)), &[-0.770_369_232_188_762_1], 1e-9);
        assert_close(&value(&run(ActionLogprob::WordMean(&[2]))), &[-1.155_553_848_283_143_1], 1e-9);
        let slope = gradient(&run(ActionLogprob::Sum), &logits);
        let want = [
            0.441_454_765_575_461_27,
            -0.205_477_308_709_071_52,
            -0.083_540_839_486_261_27,
            -0.027_808_329_772_839_09,
            -0.124_628_287_607_289_56,
        ];
        assert_close(&slope[..5], &want, 1e-9);

        let entropy = -(log_softmax.exp() * &log_softmax).sum_dim_intlist(-1i64, false, Kind::Double);
        let mean = action_logprob(&entropy, &[true; 3], &[3], ActionLogprob::TokenMean).unwrap();
        assert_close(&value(&mean), &[1.225_199_420_864_308], 1e-9);
        let slope = gradient(&mean, &logits);
        assert_close(&slope[..2], &[-0.354_437_347_726_186_5 / 3.0, 0.075_087_095_297_273_85 / 3.0], 1e-9);
    }

    #[test]
    fn an_empty_action_is_legal_and_a_mask_never_leaks() {
        let logp = variable(&[-1.0, f64::NAN, -3.0]);
        let out = action_logprob(&logp, &[true, false, true], &[2, 0, 1], ActionLogprob::TokenMean).unwrap();
        assert_close(&Vec::<f64>::try_from(&out).unwrap(), &[-1.0, 0.0, -3.0], 1e-15);
        assert_close(&gradient(&out.sum(Kind::Double), &logp), &[1.0, 0.0, 1.0], 1e-15);
        assert!(action_logprob(&logp, &[true; 3], &[3], ActionLogprob::WordMean(&[])).is_err());
    }
}
