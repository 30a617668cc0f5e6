//! # What it is
//! SimPO: a preference loss without a reference policy, on length-normalised likelihoods, with a margin.
//!
//! # Objective (formula)
//! ```text
//! z = β ( log π(y⁺)/n⁺ - log π(y⁻)/n⁻ ) - γ
//! L = -(1-ε) log σ(z) - ε log σ(-z)
//! ```
//!
//! # When to use it, when not
//! Where memory for a reference is short, or DPO makes answers longer. Without a reference nothing holds the policy
//! back: keep the learning rate low.
//!
//! # Shapes, units, errors
//! [`PairLogps`] made with `ActionLogprob::TokenMean`, nats per token. Refused as in [`dpo`](fn@super::dpo).
//!
//! # References
//! Meng et al., arXiv 2405.14734. TRL `CPOTrainer` `loss_type = "simpo"`, `simpo_gamma`.
//!
//! # Example
//! ```
//! use marft_algorithms::preference::{PairLogps, SimPo, simpo};
//! let mean = tch::Tensor::from_slice(&[-0.5_f64]);
//! let out = simpo(PairLogps { chosen: &mean, rejected: &mean }, &SimPo { gamma: 0.0, ..SimPo::default() })?;
//! assert!((out.value - std::f64::consts::LN_2).abs() < 1e-12);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::Deserialize;

use super::pairs::{PairLogps, PreferenceLoss, report};
use crate::loss::{LossError, positive, within};

/// Settings of [`simpo`].
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimPo {
    /// β. Default 2, the paper's.
    pub beta: f64,
    /// γ, the margin on the scale of β. Default 0.5, TRL's.
    #[serde(alias = "simpo_gamma")]
    pub gamma: f64,
    /// ε. Default 0.
    pub label_smoothing: f64,
}

impl Default for SimPo {
    fn default() -> Self {
        Self { beta: 2.0, gamma: 0.5, label_smoothing: 0.0 }
    }
}

/// The SimPO loss. See the [module documentation](self).
pub fn simpo(policy: PairLogps<'_>, config: &SimPo) -> crate::Result<PreferenceLoss> {
    Ok(evaluate(policy, config)?)
}

fn evaluate(policy: PairLogps<'_>, config: &SimPo) -> Result<PreferenceLoss, LossError> {
    let SimPo { beta, gamma, label_smoothing: noise } = *config;
    positive("beta", beta, "2 is usual")?;
    within("gamma", gamma, gamma >= 0.0 && gamma.is_finite(), "[0, inf)", "0.5 is usual")?;
    within("label_smoothing", noise, (0.0..0.5).contains(&noise), "[0, 0.5)", "at 0.5 the labels say nothing")?;
    policy.check(["chosen", "rejected"])?;
    let (chosen, rejected) = (policy.chosen.f_mul_scalar(beta)?, policy.rejected.f_mul_scalar(beta)?);
    let margin = chosen.f_sub(&rejected)?.f_add_scalar(-gamma)?;
    let (right, wrong) = (margin.f_log_sigmoid()?, margin.f_neg()?.f_log_sigmoid()?);
    let losses = right.f_mul_scalar(noise - 1.0)?.f_sub(&wrong.f_mul_scalar(noise)?)?;
    report(&losses, &chosen.detach(), &rejected.detach())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    /// By hand: z = 2 (-0.5 + 1) - 0.5 = 0.5: softplus(-0.5); slope -β σ(-0.5).
    #[test]
    fn margin_and_scale() {
        let (chosen, rejected) = (variable(&[-0.5]), variable(&[-1.0]));
        let out = simpo(PairLogps { chosen: &chosen, rejected: &rejected }, &SimPo::default()).unwrap();
        assert_close(&[out.value], &[0.474_076_984_180_106_7], 1e-12);
        assert_close(&gradient(&out.loss, &chosen), &[-2.0 * 0.377_540_668_798_145_4], 1e-12);
    }
}
