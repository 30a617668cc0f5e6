//! # What it is
//! Direct preference optimisation: a classifier of pairs whose logit is the gain over a reference policy.
//!
//! # Objective (formula)
//! ```text
//! z = (log π(y⁺) - log π_ref(y⁺)) - (log π(y⁻) - log π_ref(y⁻))
//! sigmoid  L = -(1-ε) log σ(β z) - ε log σ(-β z)
//! robust   L = (-(1-ε) log σ(β z) + ε log σ(-β z)) / (1 - 2ε)
//! hinge    L = max(0, 1 - β z)
//! ```
//! ε is the probability that a label is wrong.
//!
//! # When to use it, when not
//! With offline pairs and no reward model. It drives the likelihood of both answers down when they are alike; a length
//! bias in the pairs becomes one in the policy.
//!
//! # Shapes, units, errors
//! [`PairLogps`] of the policy (with gradient) and of the reference, sums over tokens, nats. Refused: other lengths, a
//! NaN or infinity, β <= 0, ε outside [0, 1/2).
//!
//! # References
//! Rafailov et al., arXiv 2305.18290; cDPO: E. Mitchell (2023); robust: arXiv 2403.00409; hinge: SLiC, arXiv
//! 2305.10425. TRL `DPOTrainer` `loss_type` sigmoid / robust / hinge.
//!
//! # Example
//! ```
//! use marft_algorithms::preference::{Dpo, PairLogps, dpo};
//! let (chosen, rejected) = (tch::Tensor::from_slice(&[-3.0_f64]), tch::Tensor::from_slice(&[-4.0_f64]));
//! let same = PairLogps { chosen: &chosen, rejected: &rejected };
//! let out = dpo(same, same, &Dpo::default())?; // policy = reference: ln 2
//! assert!((out.value - std::f64::consts::LN_2).abs() < 1e-12);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::Deserialize;

use super::pairs::{PairLogps, PreferenceLoss, report};
use crate::loss::{LossError, positive, same_length, within};

/// The curve of the classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DpoCurve {
    /// Cross entropy, conservative under label noise.
    #[default]
    Sigmoid,
    /// Cross entropy, unbiased under label noise.
    Robust,
    /// Hinge.
    Hinge,
}

/// Settings of [`dpo`].
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dpo {
    /// β: how far from the reference; small is far. Default 0.1.
    pub beta: f64,
    /// Default sigmoid.
    #[serde(alias = "loss_type")]
    pub curve: DpoCurve,
    /// ε. Default 0.
    pub label_smoothing: f64,
}

impl Default for Dpo {
    fn default() -> Self {
        Self { beta: 0.1, curve: DpoCurve::Sigmoid, label_smoothing: 0.0 }
    }
}

/// The DPO loss. See the [module documentation](self).
pub fn dpo(policy: PairLogps<'_>, reference: PairLogps<'_>, config: &Dpo) -> crate::Result<PreferenceLoss> {
    Ok(evaluate(policy, reference, config)?)
}

fn evaluate(policy: PairLogps<'_>, reference: PairLogps<'_>, config: &Dpo) -> Result<PreferenceLoss, LossError> {
    let (beta, noise) = (config.beta, config.label_smoothing);
    positive("beta", beta, "0.1 is usual")?;
    within("label_smoothing", noise, (0.0..0.5).contains(&noise), "[0, 0.5)", "at 0.5 the labels say nothing")?;
    let pairs = policy.check(["chosen", "rejected"])?;
    same_length("the reference", reference.check(["reference chosen", "reference rejected"])?, pairs)?;

    let chosen = policy.chosen.f_sub(&reference.chosen.detach())?.f_mul_scalar(beta)?;
    let rejected = policy.rejected.f_sub(&reference.rejected.detach())?.f_mul_scalar(beta)?;
    let margin = chosen.f_sub(&rejected)?;
    let (right, wrong) = (margin.f_log_sigmoid()?, margin.f_neg()?.f_log_sigmoid()?);
    let losses = match config.curve {
        DpoCurve::Hinge => margin.f_neg()?.f_add_scalar(1.0)?.f_relu()?,
        DpoCurve::Sigmoid => right.f_mul_scalar(noise - 1.0)?.f_sub(&wrong.f_mul_scalar(noise)?)?,
        DpoCurve::Robust => {
            right.f_mul_scalar(noise - 1.0)?.f_add(&wrong.f_mul_scalar(noise)?)?.f_div_scalar(1.0 - 2.0 * noise)?
        }
    };
    report(&losses, &chosen.detach(), &rejected.detach())
}

#[cfg(test)]
mod tests {
    use tch::Tensor;

    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    fn run(config: &Dpo) -> (f64, Vec<f64>, f64) {
        let (chosen, rejected) = (variable(&[-3.0, -2.0]), Tensor::from_slice(&[-5.0, -1.0]));
        let (ref_chosen, ref_rejected) = (Tensor::from_slice(&[-4.0, -2.0]), Tensor::from_slice(&[-4.0, -2.0]));
        let out = dpo(
            PairLogps { chosen: &chosen, rejected: &rejected },
            PairLogps { chosen: &ref_chosen, rejected: &ref_rejected },
            config,
        )
        .unwrap();
        (out.value, gradient(&out.loss, &chosen), out.accuracy)
    }

    /// By hand: z = 2 and -1, β = 0.5: β z = 1 and -0.5. softplus(-1) = 0.313261688, softplus(0.5) = 0.974076984,
    /// softplus(1) = 1.313261688, softplus(-0.5) = 0.474076984; slope of the first: -β σ(-1) / 2.
    #[test]
    fn three_curves() {
        let (plain, slope, accuracy) = run(&Dpo { beta: 0.5, ..Dpo::default() });
        assert_close(&[plain], &[0.5 * (0.313_261_687_518_222_8 + 0.974_076_984_180_106_7)], 1e-12);
        assert_close(&slope, &[-0.25 * 0.268_941_421_369_995_1, -0.25 * 0.622_459_331_201_854_6], 1e-12);
        assert_eq!(accuracy, 0.5);
        let smooth = Dpo { beta: 0.5, label_smoothing: 0.1, ..Dpo::default() };
        let flipped = 0.5 * (1.313_261_687_518_222_8 + 0.474_076_984_180_106_7);
        assert_close(&[run(&smooth).0], &[0.9 * plain + 0.1 * flipped], 1e-12);
        let robust = Dpo { curve: DpoCurve::Robust, ..smooth };
        assert_close(&[run(&robust).0], &[(0.9 * plain - 0.1 * flipped) / 0.8], 1e-12);
        let hinge = Dpo { curve: DpoCurve::Hinge, beta: 0.5, ..Dpo::default() };
        assert_close(&[run(&hinge).0], &[0.75], 1e-12);
    }

    #[test]
    fn a_policy_equal_to_its_reference_gives_ln_2() {
        let (chosen, rejected) = (variable(&[-3.0, -2.0]), variable(&[-5.0, -1.0]));
        let same = PairLogps { chosen: &chosen, rejected: &rejected };
        for beta in [0.1, 5.0] {
            let out = dpo(same, same, &Dpo { beta, ..Dpo::default() }).unwrap();
            assert_close(&[out.value], &[std::f64::consts::LN_2], 1e-12);
        }
    }

    /// The gradient is the slope of the value, by central differences, for every curve.
    #[test]
    fn finite_differences() {
        let (rejected, reference) = (Tensor::from_slice(&[-1.1]), Tensor::from_slice(&[-0.7]));
        let loss = |chosen: &Tensor, config: &Dpo| {
            let policy = PairLogps { chosen, rejected: &rejected };
            dpo(policy, PairLogps { chosen: &reference, rejected: &reference }, config).unwrap()
        };
        for curve in [DpoCurve::Sigmoid, DpoCurve::Robust, DpoCurve::Hinge] {
            let config = Dpo { beta: 0.4, curve, label_smoothing: 0.1 };
            let at = |x: f64| loss(&variable(&[x]), &config).value;
            let chosen = variable(&[-0.3]);
            let slope = (at(-0.3 + 1e-6) - at(-0.3 - 1e-6)) / 2e-6;
            assert!(slope < 0.0, "{curve:?}");
            assert_close(&gradient(&loss(&chosen, &config).loss, &chosen), &[slope], 1e-8);
        }
    }

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        let one = Tensor::from_slice(&[0.0]);
        let pair = PairLogps { chosen: &one, rejected: &one };
        assert!(dpo(pair, pair, &Dpo { beta: 0.0, ..Dpo::default() }).is_err());
        assert!(dpo(pair, pair, &Dpo { label_smoothing: 0.5, ..Dpo::default() }).is_err());
    }
}
