//! # What it is
//! Identity preference optimisation: DPO with a squared loss, which stops once the margin is reached.
//!
//! # Objective (formula)
//! ```text
//! h = (log π(y⁺) - log π_ref(y⁺)) / n⁺ - (log π(y⁻) - log π_ref(y⁻)) / n⁻
//! L = (h - 1 / (2 β))²
//! ```
//! n = tokens of the answer. The paper prints n = 1; its authors' results, and TRL, divide by the length.
//!
//! # When to use it, when not
//! Where DPO overfits to deterministic preferences: there the margin of DPO grows without end.
//!
//! # Shapes, units, errors
//! As [`dpo`](fn@super::dpo), with token means instead of sums for the divided form: give [`PairLogps`] made with
//! `ActionLogprob::TokenMean`, for policy and reference both.
//!
//! # References
//! Azar et al., arXiv 2310.12036. TRL `DPOTrainer` `loss_type = "ipo"`.
//!
//! # Example
//! ```
//! use marft_algorithms::preference::{Ipo, PairLogps, ipo};
//! let mean = tch::Tensor::from_slice(&[-0.5_f64]);
//! let same = PairLogps { chosen: &mean, rejected: &mean };
//! assert_eq!(ipo(same, same, &Ipo { beta: 0.5 })?.value, 1.0); // h = 0: (1 / (2 β))²
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::Deserialize;

use super::pairs::{PairLogps, PreferenceLoss, report};
use crate::loss::{LossError, positive, same_length};

/// Settings of [`ipo`].
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ipo {
    /// β (τ in the paper). Default 0.1.
    #[serde(alias = "tau")]
    pub beta: f64,
}

impl Default for Ipo {
    fn default() -> Self {
        Self { beta: 0.1 }
    }
}

/// The IPO loss. See the [module documentation](self).
pub fn ipo(policy: PairLogps<'_>, reference: PairLogps<'_>, config: &Ipo) -> crate::Result<PreferenceLoss> {
    Ok(evaluate(policy, reference, config.beta)?)
}

fn evaluate(policy: PairLogps<'_>, reference: PairLogps<'_>, beta: f64) -> Result<PreferenceLoss, LossError> {
    positive("beta", beta, "0.1 is usual")?;
    let pairs = policy.check(["chosen", "rejected"])?;
    same_length("the reference", reference.check(["reference chosen", "reference rejected"])?, pairs)?;
    let chosen = policy.chosen.f_sub(&reference.chosen.detach())?;
    let rejected = policy.rejected.f_sub(&reference.rejected.detach())?;
    let losses = chosen.f_sub(&rejected)?.f_add_scalar(-1.0 / (2.0 * beta))?.f_square()?;
    report(&losses, &chosen.detach().f_mul_scalar(beta)?, &rejected.detach().f_mul_scalar(beta)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    /// By hand: h = 0.3 - (-0.2) = 0.5, β = 0.25: (0.5 - 2)² = 2.25, slope 2 (0.5 - 2) = -3.
    #[test]
    fn a_squared_distance_to_the_margin() {
        let (chosen, rejected) = (variable(&[-0.7]), variable(&[-1.2]));
        let reference = variable(&[-1.0]);
        let out = ipo(
            PairLogps { chosen: &chosen, rejected: &rejected },
            PairLogps { chosen: &reference, rejected: &reference },
            &Ipo { beta: 0.25 },
        )
        .unwrap();
        assert_close(&[out.value], &[2.25], 1e-12);
        assert_close(&gradient(&out.loss, &chosen), &[-3.0], 1e-12);
        assert_close(&gradient(&out.loss, &rejected), &[3.0], 1e-12);
    }
}
