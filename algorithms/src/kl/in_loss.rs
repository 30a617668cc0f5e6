//! # What it is
//! A divergence from the reference policy as a term of the loss.
//!
//! # Objective (formula)
//! ```text
//! L = β agg( kl(π_new ‖ π_ref) ),   kl one of k1, k2, k3
//! ```
//!
//! # When to use it, when not
//! To keep a policy near where it started without touching the reward (GRPO). With k3 the gradient is exact per token.
//! [`grpo`](fn@crate::loss::grpo) has the term built in; this is the same term for any other loss.
//!
//! # Shapes, units, errors
//! `logp_new` `[n]` with gradient, `logp_ref` `[n]`, nats. Refused: other lengths, a NaN or infinity in the loss.
//!
//! # References
//! As [`estimator`](super::estimator). verl `use_kl_loss`, `kl_loss_coef`, `kl_loss_type`; TRL `beta`.
//!
//! # Example
//! ```
//! use marft_algorithms::kl::{KlInLoss, kl_in_loss};
//! let new = tch::Tensor::from_slice(&[-0.5_f64]).set_requires_grad(true);
//! let out = kl_in_loss(&new, &[-0.4], &[true], &[1], None, &KlInLoss { beta: 1.0, ..KlInLoss::default() })?;
//! assert!((out.value - 0.005_170_918_075_647_5).abs() < 1e-12);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::Deserialize;
use tch::Tensor;

use super::{KlEstimator, KlTask};
use crate::loss::{Aggregation, Lane, LossError, Objective, ScalarLoss, Totals, one_column, within};

/// Settings of [`kl_in_loss`].
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KlInLoss {
    /// β. Default 0.001, verl's.
    #[serde(alias = "kl_loss_coef", alias = "kl_coef")]
    pub beta: f64,
    /// Default k3.
    #[serde(alias = "kl_loss_type")]
    pub estimator: KlEstimator,
    /// How tokens become one number. Default `token-mean`.
    #[serde(alias = "loss_agg_mode")]
    pub aggregation: Aggregation,
}

impl Default for KlInLoss {
    fn default() -> Self {
        Self { beta: 0.001, estimator: KlEstimator::K3, aggregation: Aggregation::TokenMean }
    }
}

/// The divergence as a loss; `mean` of the result is the estimate before β. See the [module documentation](self).
pub fn kl_in_loss<F: Lane>(
    logp_new: &Tensor,
    logp_ref: &[F],
    in_loss: &[bool],
    lengths: &[usize],
    totals: Option<Totals>,
    config: &KlInLoss,
) -> crate::Result<ScalarLoss> {
    within("beta", config.beta, config.beta.is_finite(), "finite numbers", "0 switches the term off")?;
    let task = Request { logp_new, logp_ref, in_loss, lengths, totals, aggregation: config.aggregation };
    Ok(config.estimator.with_objective(config.beta, task)?)
}

struct Request<'a, F> {
    logp_new: &'a Tensor,
    logp_ref: &'a [F],
    in_loss: &'a [bool],
    lengths: &'a [usize],
    totals: Option<Totals>,
    aggregation: Aggregation,
}

impl<F: Lane> KlTask<F> for Request<'_, F> {
    type Output = Result<ScalarLoss, LossError>;

    fn run<O: Objective<F, 1>>(self, objective: O) -> Self::Output {
        let Self { logp_new, logp_ref, in_loss, lengths, totals, aggregation } = self;
        let other = Some(("logp_ref", logp_ref));
        one_column("logp_new", logp_new, other, in_loss, lengths, totals, aggregation, objective)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    /// Fixture `kl_estimators`: mean k3 of three tokens; the gradient is β (1 - exp(-d)) / 3.
    #[test]
    fn the_reference_numbers() {
        let new = variable(&[-1.0, -0.5, -2.0, 7.0]);
        let mask = [true, true, true, false];
        let config = KlInLoss { beta: 0.1, ..KlInLoss::default() };
        let out = kl_in_loss(&new, &[-1.2, -0.4, -2.6, f64::NAN], &mask, &[2, 2], None, &config).unwrap();
        let mean = (0.018_730_753_077_981_888 + 0.005_170_918_075_647_513 + 0.148_811_636_094_026_48) / 3.0;
        assert_close(&[out.mean, out.value], &[mean, 0.1 * mean], 1e-9);
        let slope = |d: f64| 0.1 * (1.0 - (-d).exp()) / 3.0;
        assert_close(&gradient(&out.loss, &new), &[slope(0.2), slope(-0.1), slope(0.6), 0.0], 1e-9);
    }

    #[test]
    fn k1_has_a_constant_gradient_and_k2_pulls_back() {
        let new = variable(&[-1.0, -0.5]);
        let run = |estimator| {
            let config = KlInLoss { beta: 1.0, estimator, ..KlInLoss::default() };
            let out = kl_in_loss(&new, &[-1.2, -0.4], &[true; 2], &[2], None, &config).unwrap();
            gradient(&out.loss, &new)
        };
        assert_close(&run(KlEstimator::K1), &[0.5, 0.5], 1e-12);
        assert_close(&run(KlEstimator::K2), &[0.1, -0.05], 1e-12);
    }
}
