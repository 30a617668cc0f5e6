//! # What it is
//! Training a judge of outcomes, from single answers marked right or wrong (pointwise) or from pairs (pairwise).
//!
//! # Objective (formula)
//! ```text
//! pointwise  L = -mean[ y log σ(r) + (1 - y) log(1 - σ(r)) ]
//! pairwise   L = -mean[ log σ( r(x, y⁺) - r(x, y⁻) - margin ) ] + c mean[ (r⁺ + r⁻)² ]
//! ```
//! (A survey prints the pointwise loss without the leading minus.)
//!
//! # When to use it, when not
//! Pointwise where right and wrong can be verified; its score is a calibrated probability. Pairwise where only
//! preferences exist; its score has no zero, which the small centring term c gives it.
//!
//! # Shapes, units, errors
//! Scores `[n]` with gradient (logits); labels `[n]` in [0, 1], soft ones allowed. Refused: other lengths, a NaN or
//! infinity, a label outside its range.
//!
//! # References
//! Cobbe et al., arXiv 2110.14168 (pointwise); Ouyang et al., arXiv 2203.02155 (pairwise). TRL `RewardTrainer`,
//! `center_rewards_coefficient`.
//!
//! # Example
//! ```
//! use marft_algorithms::reward_model::orm_pointwise;
//! let score = tch::Tensor::from_slice(&[0.0_f64]).set_requires_grad(true);
//! assert!((orm_pointwise(&score, &[1.0])?.value - std::f64::consts::LN_2).abs() < 1e-12);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::Deserialize;
use tch::Tensor;

use super::logistic::{CrossEntropy, name_label};
use crate::loss::{Lane, LossError, ScalarLoss, Spread, even_lengths, same_length, spread_column, token_count, within};
use crate::preference::{PairLogps, PreferenceLoss, report};

/// Settings of [`orm_pairwise`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrmPairwise {
    /// c, the pull of the mean score towards 0. Default 0; TRL suggests 0.01.
    #[serde(alias = "center_rewards_coefficient")]
    pub centering: f64,
}

/// The pointwise loss; `mean` of the result is the accuracy, where a score of 0 is wrong. See the [module
/// documentation](self).
pub fn orm_pointwise<F: Lane>(score: &Tensor, label: &[F]) -> crate::Result<ScalarLoss> {
    let n = token_count("score", score)?;
    same_length("label", label.len(), n)?;
    let (other, even) = (Some(("label", label)), Spread::Even(1.0 / n.max(1) as f64));
    spread_column("score", score, other, None, &even_lengths(n), CrossEntropy, even, None)
        .map_err(|error| name_label(error, label, &vec![true; n]).into())
}

/// The pairwise loss: scores of the better and the worse answers, and a margin per pair, or none. See the [module
/// documentation](self).
pub fn orm_pairwise(
    score: PairLogps<'_>,
    margin: Option<&Tensor>,
    config: &OrmPairwise,
) -> crate::Result<PreferenceLoss> {
    Ok(pairwise(score, margin, config.centering)?)
}

fn pairwise(score: PairLogps<'_>, margin: Option<&Tensor>, centering: f64) -> Result<PreferenceLoss, LossError> {
    within("centering", centering, centering >= 0.0 && centering.is_finite(), "[0, inf)", "0.01 is usual")?;
    let pairs = score.check(["chosen score", "rejected score"])?;
    let mut gap = score.chosen.f_sub(score.rejected)?;
    if let Some(margin) = margin {
        same_length("margin", token_count("margin", margin)?, pairs)?;
        gap = gap.f_sub(margin)?;
    }
    let mut losses = gap.f_log_sigmoid()?.f_neg()?;
    if centering > 0.0 {
        let square = score.chosen.f_add(score.rejected)?.f_square()?;
        losses = losses.f_add(&square.f_mul_scalar(centering)?)?;
    }
    report(&losses, &score.chosen.detach(), &score.rejected.detach())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    /// y = 1, r = 0 gives ln 2; by hand softplus(-2) for y = 1, r = 2; y = 0.375, r = -1:
    /// softplus(-1) + 0.375 = 0.688261688. Gradient (σ(r) - y) / 3.
    #[test]
    fn pointwise() {
        let score = variable(&[0.0, 2.0, -1.0]);
        let out = orm_pointwise(&score, &[1.0, 1.0, 0.375]).unwrap();
        let want = (std::f64::consts::LN_2 + 0.126_928_011_042_972_5 + 0.688_261_687_518_222_8) / 3.0;
        assert_close(&[out.value], &[want], 1e-12);
        let slope = [-0.5, 0.880_797_077_977_882_3 - 1.0, 0.268_941_421_369_995_1 - 0.375].map(|g| g / 3.0);
        assert_close(&gradient(&out.loss, &score), &slope, 1e-12);
        assert_close(&[out.mean], &[2.0 / 3.0], 1e-12);
    }

    /// Equal scores give ln 2; r⁺ - r⁻ = 2 with margin 1 gives softplus(-1), and centring adds 0.01 (3 + 1)².
    #[test]
    fn pairwise_scores() {
        let (chosen, rejected) = (variable(&[3.0]), variable(&[1.0]));
        let same =
            orm_pairwise(PairLogps { chosen: &chosen, rejected: &chosen }, None, &OrmPairwise::default()).unwrap();
        assert_close(&[same.value], &[std::f64::consts::LN_2], 1e-12);
        let margin = Tensor::from_slice(&[1.0]);
        let pair = PairLogps { chosen: &chosen, rejected: &rejected };
        let out = orm_pairwise(pair, Some(&margin), &OrmPairwise { centering: 0.01 }).unwrap();
        assert_close(&[out.value], &[0.313_261_687_518_222_8 + 0.16], 1e-12);
        assert_close(&gradient(&out.loss, &chosen), &[-0.268_941_421_369_995_1 + 0.08], 1e-12);
    }

    /// The gradients are the slopes of the values, by central differences.
    #[test]
    fn finite_differences() {
        let slope = |at: &dyn Fn(f64) -> f64| (at(-0.8 + 1e-6) - at(-0.8 - 1e-6)) / 2e-6;
        let score = variable(&[-0.8]);
        let pointwise = |score: &Tensor| orm_pointwise(score, &[0.375]).unwrap();
        let want = slope(&|r| pointwise(&variable(&[r])).value);
        assert_close(&gradient(&pointwise(&score).loss, &score), &[want], 1e-8);

        let rejected = Tensor::from_slice(&[0.3]);
        let pairwise = |chosen: &Tensor| {
            let config = OrmPairwise { centering: 0.01 };
            orm_pairwise(PairLogps { chosen, rejected: &rejected }, Some(&Tensor::from_slice(&[0.2])), &config).unwrap()
        };
        let want = slope(&|r| pairwise(&variable(&[r])).value);
        assert_close(&gradient(&pairwise(&score).loss, &score), &[want], 1e-8);
    }

    #[test]
    fn extreme_logits_stay_finite_and_a_wrong_label_is_refused() {
        let score = variable(&[1e5, -1e5]);
        let out = orm_pointwise(&score, &[0.0, 1.0]).unwrap();
        assert_close(&[out.value], &[1e5], 1e-12);
        assert!(orm_pointwise(&score, &[0.0, 1.5]).is_err());
        assert!(orm_pointwise(&score, &[f64::NAN, 1.0]).is_err());
    }
}
