//! # What it is
//! ORPO: likelihood of the chosen answer plus a penalty on the odds of the rejected one; one stage, no reference.
//!
//! # Objective (formula)
//! ```text
//! odds(y) = p / (1 - p),   log p = log π(y) / n
//! L = L_SFT(y⁺) - λ log σ( log odds(y⁺) - log odds(y⁻) )
//! ```
//! Here L_SFT is the mean of -log p over the pairs.
//!
//! # When to use it, when not
//! To align from a base model without a separate supervised stage. Where a good supervised start exists, DPO uses it
//! better.
//!
//! # Shapes, units, errors
//! [`PairLogps`] made with `ActionLogprob::TokenMean`; each must be below 0 (p < 1), or the odds are infinite. An
//! answer whose mean log-probability is 0 to the last digit is refused.
//!
//! # References
//! Hong et al., arXiv 2403.07691. TRL `ORPOTrainer`, `beta`.
//!
//! # Example
//! ```
//! use marft_algorithms::preference::{Orpo, PairLogps, orpo};
//! let mean = tch::Tensor::from_slice(&[-0.5_f64]);
//! let out = orpo(PairLogps { chosen: &mean, rejected: &mean }, &Orpo { lambda: 1.0 })?;
//! assert!((out.value - (0.5 + std::f64::consts::LN_2)).abs() < 1e-12);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::Deserialize;
use tch::Tensor;

use super::pairs::{PairLogps, PreferenceLoss, report};
use crate::loss::{LossError, column, positive, within};

/// Settings of [`orpo`].
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Orpo {
    /// λ, the weight of the odds term. Default 0.1.
    #[serde(alias = "beta")]
    pub lambda: f64,
}

impl Default for Orpo {
    fn default() -> Self {
        Self { lambda: 0.1 }
    }
}

/// The ORPO loss. See the [module documentation](self).
pub fn orpo(policy: PairLogps<'_>, config: &Orpo) -> crate::Result<PreferenceLoss> {
    Ok(evaluate(policy, config.lambda)?)
}

fn evaluate(policy: PairLogps<'_>, lambda: f64) -> Result<PreferenceLoss, LossError> {
    positive("lambda", lambda, "0.1 is usual; without the odds term use `sft`")?;
    policy.check(["chosen", "rejected"])?;
    for (what, tensor) in [("chosen", policy.chosen), ("rejected", policy.rejected)] {
        for logp in column::<f64>(what, tensor)? {
            within(what, logp, logp < 0.0, "(-inf, 0)", "a mean log-probability; an answer cannot have probability 1")?;
        }
    }
    let log_odds = log_odds(policy.chosen)?.f_sub(&log_odds(policy.rejected)?)?;
    let losses = policy.chosen.f_neg()?.f_sub(&log_odds.f_log_sigmoid()?.f_mul_scalar(lambda)?)?;
    let reward = |logp: &Tensor| logp.detach().f_mul_scalar(lambda);
    report(&losses, &reward(policy.chosen)?, &reward(policy.rejected)?)
}

/// log p - log(1 - p), without cancellation for p near 1: 1 - p = -expm1(log p).
fn log_odds(logp: &Tensor) -> Result<Tensor, LossError> {
    Ok(logp.f_sub(&logp.f_expm1()?.f_neg()?.f_log()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    /// By hand: p = 1/2 and 1/4: odds 1 and 1/3, log-odds ln 3, σ = 3/4. Slope of the odds term by log p⁺:
    /// -λ (1 - 3/4) / (1 - p) = -0.5 λ.
    #[test]
    fn odds_of_halves_and_quarters() {
        let (chosen, rejected) = (variable(&[0.5f64.ln()]), variable(&[0.25f64.ln()]));
        let out = orpo(PairLogps { chosen: &chosen, rejected: &rejected }, &Orpo { lambda: 0.2 }).unwrap();
        assert_close(&[out.value], &[std::f64::consts::LN_2 - 0.2 * 0.75f64.ln()], 1e-12);
        assert_close(&gradient(&out.loss, &chosen), &[-1.0 - 0.1], 1e-12);
        assert_close(&gradient(&out.loss, &rejected), &[0.2 * 0.25 / 0.75], 1e-12);
    }

    #[test]
    fn certainty_is_refused() {
        let (certain, other) = (variable(&[0.0]), variable(&[-1.0]));
        assert!(orpo(PairLogps { chosen: &certain, rejected: &other }, &Orpo::default()).is_err());
    }
}
