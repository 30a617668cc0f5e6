//! Pairs of answers, and what every preference loss reports.

use tch::{Kind, Tensor};

use crate::loss::{LossError, column, same_length, token_count};

/// Log-probabilities of chosen and rejected answers under one policy, `[pairs]` each, nats.
#[derive(Debug, Clone, Copy)]
pub struct PairLogps<'a> {
    /// Of the better answers.
    pub chosen: &'a Tensor,
    /// Of the worse answers.
    pub rejected: &'a Tensor,
}

/// A preference loss, ready for `backward`.
#[derive(Debug)]
pub struct PreferenceLoss {
    /// Scalar with gradient: the mean over pairs.
    pub loss: Tensor,
    /// Its value.
    pub value: f64,
    /// Mean implicit reward of the chosen answers.
    pub chosen_reward: f64,
    /// Mean implicit reward of the rejected answers.
    pub rejected_reward: f64,
    /// Fraction of pairs whose chosen answer has the larger implicit reward.
    pub accuracy: f64,
}

impl PairLogps<'_> {
    /// Number of pairs; refuses tensors that are not two finite columns of one length.
    pub(crate) fn check(&self, whose: [&'static str; 2]) -> Result<usize, LossError> {
        let pairs = token_count(whose[0], self.chosen)?;
        same_length(whose[1], token_count(whose[1], self.rejected)?, pairs)?;
        finite(whose[0], self.chosen)?;
        finite(whose[1], self.rejected)?;
        Ok(pairs)
    }
}

/// Refuses a tensor with a NaN or infinity, naming the first.
pub(crate) fn finite(what: &'static str, tensor: &Tensor) -> Result<(), LossError> {
    let values = column::<f64>(what, tensor)?;
    match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((index, &value)) => Err(LossError::NotFinite { what, index, value }),
        None => Ok(()),
    }
}

/// The mean of a tensor, 0 for an empty one.
pub(crate) fn mean(tensor: &Tensor) -> Result<f64, LossError> {
    if tensor.numel() == 0 {
        return Ok(0.0);
    }
    Ok(tensor.detach().f_to_kind(Kind::Double)?.f_mean(Kind::Double)?.f_double_value(&[])?)
}

/// The report from per-pair losses and implicit rewards. No pair at all is 0 with zero gradient.
pub(crate) fn report(losses: &Tensor, chosen: &Tensor, rejected: &Tensor) -> Result<PreferenceLoss, LossError> {
    let pairs = losses.numel().max(1) as f64;
    let loss = losses.f_sum(losses.kind())?.f_div_scalar(pairs)?;
    let value = loss.f_double_value(&[])?;
    Ok(PreferenceLoss {
        loss,
        value,
        chosen_reward: mean(chosen)?,
        rejected_reward: mean(rejected)?,
        accuracy: mean(&chosen.f_gt_tensor(rejected)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ill_formed_pairs_are_refused_by_name() {
        let (two, three) = (Tensor::from_slice(&[0.0, 1.0]), Tensor::from_slice(&[0.0, 1.0, f64::NAN]));
        let names = ["chosen", "rejected"];
        assert!(PairLogps { chosen: &two, rejected: &three }.check(names).is_err());
        let error = PairLogps { chosen: &three, rejected: &three }.check(names).unwrap_err().to_string();
        assert!(error.starts_with("chosen is NaN at token 2"), "{error}");
    }
}
