//! # What it is
//! "GRPO done right": the clipped surrogate summed over tokens and divided by a constant, so that neither the length of
//! an answer nor the spread of its group's rewards changes its weight.
//!
//! # Objective (formula)
//! ```text
//! L = 1/(S D) Σ_s Σ_t max( -ρ A, -clip(ρ, 1 - ε_low, 1 + ε_high) A ),   A = R - mean(R) without division by std
//! ```
//! D is the longest completion allowed, in tokens.
//!
//! # When to use it, when not
//! Where answers grow longer and longer under [`grpo`](mod@super::grpo). The scale of the loss depends on D: a D far
//! above the usual length is a hidden cut of the learning rate.
//!
//! # Shapes, units, errors
//! As [`ppo_clip`](mod@super::ppo_clip); D must be positive. S counts the sequences with a token in the loss.
//!
//! # References
//! Liu et al., arXiv 2503.20783. TRL `loss_type = "dr_grpo"`; verl `seq-mean-token-sum-norm`.
//!
//! # Example
//! ```
//! use marft_algorithms::loss::{DrGrpo, PolicyBatch, dr_grpo};
//! let new = tch::Tensor::from_slice(&[-1.0_f64, -1.0, -2.0]).set_requires_grad(true);
//! let batch = PolicyBatch::new(&[-1.0, -1.0, -2.0], &[0.5, 0.5, -0.25], &[true; 3], &[2, 1]);
//! let config = DrGrpo { max_completion_length: 4.0, ..DrGrpo::default() };
//! assert_eq!(dr_grpo(&new, &batch, &config)?.value, -(0.5 + 0.5 - 0.25) / 8.0);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use tch::Tensor;

use super::aggregate::Aggregation;
use super::batch::PolicyBatch;
use super::clipped_settings::clipped_settings;
use super::error::positive;
use super::lane::Lane;
use super::policy::{PolicyLoss, policy_loss};
use super::ppo_clip::Clip;

clipped_settings! {
    /// Settings of [`dr_grpo`]. Defaults: ε_low 0.2, ε_high the same.
    DrGrpo, clip_high: Option<f64>,
    /// D, tokens. Default 512, TRL's and verl's longest completion.
    #[serde(alias = "max_response_length", alias = "loss_scale_factor")]
    max_completion_length: f64,
}

impl Default for DrGrpo {
    fn default() -> Self {
        Self { clip_low: 0.2, clip_high: None, max_completion_length: 512.0 }
    }
}

/// The Dr. GRPO loss. See the [module documentation](self).
pub fn dr_grpo<F: Lane>(logp_new: &Tensor, batch: &PolicyBatch<'_, F>, config: &DrGrpo) -> crate::Result<PolicyLoss> {
    positive("max_completion_length", config.max_completion_length, "give the longest answer allowed, in tokens")?;
    let aggregation = Aggregation::SeqMeanTokenSumNorm(config.max_completion_length);
    let objective = Clip::new(config.clip_low, config.clip_high)?;
    Ok(policy_loss(logp_new, batch, aggregation, objective)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    /// By hand: every token's gradient is -A / (S D), whatever the length of its answer.
    #[test]
    fn length_does_not_change_a_tokens_weight() {
        let new = variable(&[-1.0; 4]);
        let batch = PolicyBatch::new(&[-1.0; 4], &[0.5, 0.5, 0.5, -0.25], &[true; 4], &[3, 1]);
        let out = dr_grpo(&new, &batch, &DrGrpo { max_completion_length: 10.0, ..DrGrpo::default() }).unwrap();
        assert_close(&gradient(&out.loss, &new), &[-0.025, -0.025, -0.025, 0.0125], 1e-12);
    }

    #[test]
    fn a_divisor_that_is_not_positive_is_refused() {
        let batch = PolicyBatch::new(&[0.0], &[0.0], &[true], &[1]);
        let config = DrGrpo { max_completion_length: 0.0, ..DrGrpo::default() };
        assert!(dr_grpo(&variable(&[0.0]), &batch, &config).is_err());
    }
}
