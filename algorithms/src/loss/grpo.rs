//! # What it is
//! GRPO's loss: PPO's clipped surrogate per token, every answer weighing the same, with a k3 divergence from a
//! reference policy in the loss. The advantages are group-relative; see [`advantage`](crate::advantage).
//!
//! # Objective (formula)
//! ```text
//! L = 1/S Σ_s 1/n_s Σ_t [ max( -ρ A, -clip(ρ, 1 - ε_low, 1 + ε_high) A ) + β k3(π_new ‖ π_ref) ]
//! ```
//!
//! # When to use it, when not
//! As printed in the paper, and as TRL's `loss_type = "grpo"`. On-policy (one update per batch) ρ is 1, so that the
//! clip never acts: the TRL 0.14 flavour without clipping is the same loss with `logp_old` equal to `logp_new`. Long
//! answers get less weight per token; where that hurts take [`dapo`](mod@super::dapo) or
//! [`dr_grpo`](mod@super::dr_grpo). verl's flavour is `aggregation = "token-mean"` and `kl_loss_type = "low_var_kl"`,
//! with a [`dual_clip`](mod@super::dual_clip).
//!
//! # Shapes, units, errors
//! As [`ppo_clip`](mod@super::ppo_clip); with β ≠ 0 the batch must hold `logp_ref`.
//!
//! # References
//! Shao et al., arXiv 2402.03300. TRL `beta`, `epsilon`; verl `kl_loss_coef`, `kl_loss_type = low_var_kl`.
//!
//! # Example
//! ```
//! use marft_algorithms::loss::{Grpo, PolicyBatch, grpo};
//! let new = tch::Tensor::from_slice(&[-1.0_f64, -1.0, -2.0]).set_requires_grad(true);
//! // Two answers, of 2 tokens and of 1. On-policy: each answer contributes -A.
//! let batch = PolicyBatch::new(&[-1.0, -1.0, -2.0], &[0.5, 0.5, -0.25], &[true; 3], &[2, 1]);
//! assert_eq!(grpo(&new, &batch, &Grpo::default())?.value, -(0.5 - 0.25) / 2.0);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use tch::Tensor;

use super::aggregate::Aggregation;
use super::batch::PolicyBatch;
use super::clipped_settings::clipped_settings;
use super::lane::Lane;
use super::policy::{Penalty, PolicyLoss, penalised_policy_loss};
use super::ppo_clip::Clip;
use crate::kl::KlEstimator;

clipped_settings! {
    /// Settings of [`grpo`]. Defaults: ε_low 0.2, ε_high the same.
    Grpo, clip_high: Option<f64>,
    /// β, the weight of the divergence from the reference. Default 0: no reference is needed. The paper used 0.04.
    #[serde(alias = "kl_loss_coef", alias = "kl_coef")]
    beta: f64,
    /// The estimator of the divergence. Default k3.
    #[serde(alias = "kl_loss_type")]
    kl_estimator: KlEstimator,
    /// How tokens become one number. Default `seq-mean-token-mean`, as printed.
    #[serde(alias = "loss_agg_mode")]
    aggregation: Aggregation,
}

impl Default for Grpo {
    fn default() -> Self {
        Self {
            clip_low: 0.2,
            clip_high: None,
            beta: 0.0,
            kl_estimator: KlEstimator::K3,
            aggregation: Aggregation::SeqMeanTokenMean,
        }
    }
}

/// The GRPO loss. See the [module documentation](self).
pub fn grpo<F: Lane>(logp_new: &Tensor, batch: &PolicyBatch<'_, F>, config: &Grpo) -> crate::Result<PolicyLoss> {
    let objective = Clip::new(config.clip_low, config.clip_high)?;
    let penalty = Penalty { coefficient: config.beta, estimator: config.kl_estimator, algorithm: "grpo" };
    Ok(penalised_policy_loss(logp_new, batch, config.aggregation, objective, penalty)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    /// TRL 0.14 flavour, by hand: on-policy, so the surrogate of an answer is -A and its gradient -A / n_s / S; β =
    /// 0.04, d = new - ref = 0.2, -0.1, 0.6 gives k3 = 0.018730753, 0.005170918, 0.148811636 (fixture `kl_estimators`).
    #[test]
    fn on_policy_with_a_reference() {
        let logp = [-1.0, -0.5, -2.0];
        let new = variable(&logp);
        let batch = PolicyBatch::new(&logp, &[1.0, 1.0, -0.5], &[true; 3], &[2, 1]).with_reference(&[-1.2, -0.4, -2.6]);
        let config = Grpo { beta: 0.04, ..Grpo::default() };
        let out = grpo(&new, &batch, &config).unwrap();
        let k3 = [0.018_730_753_077_981_888, 0.005_170_918_075_647_513, 0.148_811_636_094_026_48];
        let want = 0.5 * (0.5 * (-2.0 + 0.04 * (k3[0] + k3[1])) + 0.5 + 0.04 * k3[2]);
        assert_close(&[out.value], &[want], 1e-12);
        assert_close(&[out.diagnostics.kl_ref], &[(k3[0] + k3[1] + k3[2]) / 3.0], 1e-12);
        let slope = |d: f64| 0.04 * (1.0 - (-d).exp());
        let want = [(-1.0 + slope(0.2)) / 4.0, (-1.0 + slope(-0.1)) / 4.0, 0.25 + 0.5 * slope(0.6)];
        assert_close(&gradient(&out.loss, &new), &want, 1e-12);
    }

    #[test]
    fn a_penalty_without_a_reference_is_refused() {
        let batch = PolicyBatch::new(&[0.0], &[0.0], &[true], &[1]);
        let error = grpo(&variable(&[0.0]), &batch, &Grpo { beta: 0.1, ..Grpo::default() }).unwrap_err().to_string();
        assert!(error.contains("with_reference"), "{error}");
    }

    /// The importance weight acts on the surrogate and not on the divergence, as in TRL.
    #[test]
    fn the_weight_leaves_the_penalty_alone() {
        let new = variable(&[-1.0]);
        let batch = PolicyBatch::new(&[-1.0], &[1.0], &[true], &[1]).with_reference(&[-1.2]).weighted(&[0.5]);
        let out = grpo(&new, &batch, &Grpo { beta: 1.0, ..Grpo::default() }).unwrap();
        assert_close(&[out.value], &[-0.5 + 0.018_730_753_077_981_888], 1e-12);
    }
}
