//! # What it is
//! KTO: learning from single answers marked good or bad, with the loss aversion of prospect theory.
//!
//! # Objective (formula)
//! ```text
//! r = log π(y) - log π_ref(y);   z = max(0, mean over mismatched answers of log π - log π_ref), no gradient
//! good  L = w_good ( 1 - σ( β (r - z) ) )
//! bad   L = w_bad  ( 1 - σ( β (z - r) ) )
//! ```
//! Averaged over the batch.
//!
//! # When to use it, when not
//! Where there are thumbs up and down but no pairs. Balance the sums w_good n_good and w_bad n_bad within 1 to 4/3.
//!
//! # Shapes, units, errors
//! `logp` `[n]` with gradient and `logp_ref` `[n]`, sums over tokens, nats; `good` `[n]`. z comes from answers put to
//! other prompts ([`kto_reference_point`]); it must not be negative. Refused: other lengths, a NaN or infinity, β or
//! weights not positive.
//!
//! # References
//! Ethayarajh et al., arXiv 2402.01306. TRL `KTOTrainer`, `desirable_weight`, `undesirable_weight`.
//!
//! # Example
//! ```
//! use marft_algorithms::preference::{Kto, KtoBatch, kto};
//! let logp = tch::Tensor::from_slice(&[-3.0_f64, -4.0]);
//! let batch = KtoBatch { logp: &logp, logp_ref: &[-3.0, -4.0], good: &[true, false], reference_point: 0.0 };
//! assert_eq!(kto(&batch, &Kto::default())?.value, 0.5);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::Deserialize;
use tch::Tensor;

use super::pairs::finite;
use crate::loss::{LossError, positive, same_length, token_count, within};

/// Settings of [`kto`].
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kto {
    /// β. Default 0.1.
    pub beta: f64,
    /// w_good. Default 1.
    #[serde(alias = "desirable_weight")]
    pub good_weight: f64,
    /// w_bad. Default 1.
    #[serde(alias = "undesirable_weight")]
    pub bad_weight: f64,
}

impl Default for Kto {
    fn default() -> Self {
        Self { beta: 0.1, good_weight: 1.0, bad_weight: 1.0 }
    }
}

/// A batch of marked answers.
#[derive(Debug, Clone, Copy)]
pub struct KtoBatch<'a> {
    /// `[n]` Log-probabilities of the answers under the policy, with gradient.
    pub logp: &'a Tensor,
    /// `[n]` The same under the reference.
    pub logp_ref: &'a [f64],
    /// `[n]` Whether the answer was marked good.
    pub good: &'a [bool],
    /// z; see [`kto_reference_point`].
    pub reference_point: f64,
}

/// A KTO loss, ready for `backward`.
#[derive(Debug)]
pub struct KtoLoss {
    /// Scalar with gradient.
    pub loss: Tensor,
    /// Its value.
    pub value: f64,
    /// Mean implicit reward β r of the good answers, 0 without any.
    pub good_reward: f64,
    /// Mean implicit reward of the bad answers, 0 without any.
    pub bad_reward: f64,
}

/// z from the log-probabilities of answers put to prompts they were not made for, `[n]` each.
pub fn kto_reference_point(logp: &[f64], logp_ref: &[f64]) -> crate::Result<f64> {
    same_length("logp_ref", logp_ref.len(), logp.len())?;
    let sum: f64 = logp.iter().zip(logp_ref).map(|(new, reference)| new - reference).sum();
    if sum.is_finite() {
        Ok((sum / logp.len().max(1) as f64).max(0.0))
    } else {
        Err(LossError::NotFinite { what: "the reference point's log-ratios", index: 0, value: sum }.into())
    }
}

/// The KTO loss. See the [module documentation](self).
pub fn kto(batch: &KtoBatch<'_>, config: &Kto) -> crate::Result<KtoLoss> {
    Ok(evaluate(batch, config)?)
}

fn evaluate(batch: &KtoBatch<'_>, config: &Kto) -> Result<KtoLoss, LossError> {
    let Kto { beta, good_weight, bad_weight } = *config;
    positive("beta", beta, "0.1 is usual")?;
    positive("good_weight", good_weight, "1 is usual")?;
    positive("bad_weight", bad_weight, "1 is usual")?;
    let z = batch.reference_point;
    within("reference_point", z, z >= 0.0 && z.is_finite(), "[0, inf)", "use `kto_reference_point`")?;
    let n = token_count("logp", batch.logp)?;
    same_length("logp_ref", batch.logp_ref.len(), n)?;
    same_length("good", batch.good.len(), n)?;
    finite("logp", batch.logp)?;

    let constant = |values: &[f64]| -> Result<Tensor, LossError> {
        Ok(Tensor::f_from_slice(values)?.f_to_kind(batch.logp.kind())?.f_to_device(batch.logp.device())?)
    };
    let by_mark =
        |good: f64, bad: f64| -> Vec<f64> { batch.good.iter().map(|&mark| if mark { good } else { bad }).collect() };
    let reference = constant(batch.logp_ref)?;
    finite("logp_ref", &reference)?;
    let gain = batch.logp.f_sub(&reference)?;
    let signed = gain.f_add_scalar(-z)?.f_mul(&constant(&by_mark(beta, -beta))?)?;
    // 1 - σ(x) = σ(-x)
    let losses = signed.f_neg()?.f_sigmoid()?.f_mul(&constant(&by_mark(good_weight, bad_weight))?)?;
    let loss = losses.f_sum(losses.kind())?.f_div_scalar(n.max(1) as f64)?;
    let value = loss.f_double_value(&[])?;

    let gains = crate::loss::column::<f64>("gain", &gain)?;
    let mean_reward = |mark: bool| {
        let of_mark = || gains.iter().zip(batch.good).filter(|(_, good)| **good == mark);
        of_mark().map(|(gain, _)| beta * gain).sum::<f64>() / of_mark().count().max(1) as f64
    };
    Ok(KtoLoss { loss, value, good_reward: mean_reward(true), bad_reward: mean_reward(false) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    /// By hand: r = 2 (good) and 1 (bad), z = 0.5, β = 1: σ(-1.5) = 0.182425524, σ(0.5) = 0.622459331, weights 1 and 2.
    #[test]
    fn good_and_bad_pull_apart() {
        let logp = variable(&[-1.0, -1.0]);
        let batch = KtoBatch { logp: &logp, logp_ref: &[-3.0, -2.0], good: &[true, false], reference_point: 0.5 };
        let out = kto(&batch, &Kto { beta: 1.0, good_weight: 1.0, bad_weight: 2.0 }).unwrap();
        let (good, bad) = (0.182_425_523_806_356_34, 0.622_459_331_201_854_6);
        assert_close(&[out.value], &[0.5 * good + bad], 1e-12);
        let want = [-good * (1.0 - good) / 2.0, bad * (1.0 - bad)];
        assert_close(&gradient(&out.loss, &logp), &want, 1e-12);
        assert_close(&[out.good_reward, out.bad_reward], &[2.0, 1.0], 1e-12);
    }

    #[test]
    fn the_reference_point_is_never_negative() {
        assert_eq!(kto_reference_point(&[-3.0, -1.0], &[-1.0, -1.0]).unwrap(), 0.0);
        assert_eq!(kto_reference_point(&[-1.0, -1.0], &[-2.0, -1.0]).unwrap(), 0.5);
        assert!(kto_reference_point(&[f64::NAN], &[0.0]).is_err());
        let logp = variable(&[0.0]);
        let batch = KtoBatch { logp: &logp, logp_ref: &[0.0], good: &[true], reference_point: -0.1 };
        assert!(kto(&batch, &Kto::default()).is_err());
    }
}
