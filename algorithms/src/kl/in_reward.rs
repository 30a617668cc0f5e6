//! # What it is
//! A divergence from the reference policy as a cost, taken off the reward of every token.
//!
//! # Objective (formula)
//! ```text
//! r'_t = r_t - β kl_t   for tokens in the loss;   r'_t = r_t elsewhere
//! ```
//!
//! # When to use it, when not
//! With a critic or any estimator that sums rewards: the penalty then gets credit over time like every other reward.
//! Under a group baseline it is noise in the return; take [`kl_in_loss`](fn@super::kl_in_loss) there.
//!
//! # Shapes, units, errors
//! `reward`, `logp` (of the policy that sampled), `logp_ref`, `in_loss`: `[n]`, nats. Refused: other lengths, a NaN or
//! infinity in the loss.
//!
//! # References
//! Ziegler et al., arXiv 1909.08593. verl `use_kl_in_reward`, `kl_penalty`; TRL PPO `kl_coef`, `kl_estimator`.
//!
//! # Example
//! ```
//! use marft_algorithms::kl::{KlEstimator, kl_in_reward};
//! let out = kl_in_reward(&[0.0_f64, 1.0], &[-1.0, -1.0], &[-1.5, -1.0], &[true; 2], 0.1, KlEstimator::K1)?;
//! assert_eq!(out.reward, [-0.05, 1.0]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use super::KlEstimator;
use crate::loss::{Lane, LossError, same_length, within};

/// Penalised rewards, and the divergence that was taken off.
#[derive(Debug, Clone, PartialEq)]
pub struct PenalisedReward<F> {
    /// `[n]`
    pub reward: Vec<F>,
    /// Mean estimate over the tokens in the loss, nats; what an [adaptive controller](super::KlController) wants.
    pub mean_kl: f64,
}

/// Takes the divergence off the rewards. See the [module documentation](self).
pub fn kl_in_reward<F: Lane>(
    reward: &[F],
    logp: &[F],
    logp_ref: &[F],
    in_loss: &[bool],
    beta: f64,
    estimator: KlEstimator,
) -> crate::Result<PenalisedReward<F>> {
    let n = reward.len();
    same_length("logp", logp.len(), n)?;
    same_length("logp_ref", logp_ref.len(), n)?;
    same_length("in_loss", in_loss.len(), n)?;
    within("beta", beta, beta.is_finite(), "finite numbers", "0 switches the penalty off")?;
    let mut penalised = reward.to_vec();
    let (mut sum, mut tokens) = (0.0, 0usize);
    for index in (0..n).filter(|&index| in_loss[index]) {
        for (what, value) in [("logp", logp[index]), ("logp_ref", logp_ref[index]), ("reward", reward[index])] {
            if !value.wide().is_finite() {
                return Err(LossError::NotFinite { what, index, value: value.wide() }.into());
            }
        }
        let kl = estimator.value(logp[index] - logp_ref[index]).wide();
        sum += kl;
        tokens += 1;
        penalised[index] = F::narrow(reward[index].wide() - beta * kl);
    }
    Ok(PenalisedReward { reward: penalised, mean_kl: sum / tokens.max(1) as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: d = 0.2 and -0.1, β = 0.5: k2 = 0.02 and 0.005; the third token is an observation.
    #[test]
    fn only_tokens_in_the_loss_pay() {
        let run = |estimator| {
            let (logp, reference) = ([-1.0, -0.5, f64::NAN], [-1.2, -0.4, 0.0]);
            kl_in_reward(&[0.0, 1.0, 2.0], &logp, &reference, &[true, true, false], 0.5, estimator).unwrap()
        };
        let k1 = run(KlEstimator::K1);
        crate::loss::testing::assert_close(&k1.reward, &[-0.1, 1.05, 2.0], 1e-12);
        assert!((k1.mean_kl - 0.05).abs() < 1e-12);
        crate::loss::testing::assert_close(&run(KlEstimator::K2).reward, &[-0.01, 0.9975, 2.0], 1e-12);
    }

    #[test]
    fn the_first_offender_is_named() {
        let error = kl_in_reward(&[0.0f32; 2], &[0.0, 0.0], &[0.0, f32::NAN], &[true; 2], 0.1, KlEstimator::K3);
        assert!(error.unwrap_err().to_string().starts_with("logp_ref is NaN at token 1"));
    }
}
