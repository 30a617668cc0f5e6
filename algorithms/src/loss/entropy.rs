//! # What it is
//! The entropy bonus: a term that rewards a policy for staying undecided.
//!
//! # Objective (formula)
//! ```text
//! L = -c_H agg( H_t ),   H_t = -Σ_v π(v) log π(v), nats
//! ```
//! Added to a policy loss. Token level: H of each sampled token's distribution. Action level: the mean over an action's
//! tokens, one element per action.
//!
//! # When to use it, when not
//! Where exploration dies before the reward is found; typical c_H is 1e-3 to 1e-2. On a vocabulary of 50,000 it mostly
//! feeds the tail; prefer clip-higher first.
//!
//! # Shapes, units, errors
//! `entropy` `[n]` with gradient, nats; `in_loss`, `lengths` and totals as in [`PolicyBatch`](super::PolicyBatch).
//!
//! # References
//! Mnih et al., arXiv 1602.01783. verl `entropy_coeff` (0), TRL `entropy_coef` (0), MARFT `entropy_coef` (0.01).
//!
//! # Example
//! ```
//! use marft_algorithms::loss::{EntropyBonus, entropy_bonus};
//! let config = EntropyBonus { coefficient: 0.01, ..EntropyBonus::default() };
//! let entropy = tch::Tensor::from_slice(&[0.5_f64, 1.5]).set_requires_grad(true);
//! let bonus = entropy_bonus::<f64>(&entropy, &[true, true], &[2], None, &config)?;
//! assert!((bonus.value + 0.01).abs() < 1e-15);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]

use serde::Deserialize;
use tch::Tensor;

use super::aggregate::{Aggregation, Totals};
use super::error::within;
use super::fused::{Objective, Term};
use super::lane::Lane;
use super::linear::{ScalarLoss, one_column};

/// Settings of [`entropy_bonus`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EntropyBonus {
    /// c_H. Default 0.
    #[serde(alias = "entropy_coef", alias = "entropy_coeff")]
    pub coefficient: f64,
    /// How tokens become one number. Default `token-mean`.
    #[serde(alias = "loss_agg_mode")]
    pub aggregation: Aggregation,
}

#[derive(Clone, Copy)]
struct Bonus(f64);

impl<F: Lane> Objective<F, 1> for Bonus {
    const COLUMNS: usize = 1;

    #[inline(always)]
    fn term<const FUSED: bool>(self, entropy: F, _: F, _: F) -> Term<F, 1> {
        let coefficient = F::narrow(self.0);
        Term { loss: -coefficient * entropy, grad: -coefficient, stats: [entropy] }
    }
}

/// The entropy bonus; `mean` of the result is the mean entropy. See the [module documentation](self).
pub fn entropy_bonus<F: Lane>(
    entropy: &Tensor,
    in_loss: &[bool],
    lengths: &[usize],
    totals: Option<Totals>,
    config: &EntropyBonus,
) -> crate::Result<ScalarLoss> {
    let c = config.coefficient;
    within(
        "entropy coefficient",
        c,
        c >= 0.0 && c.is_finite(),
        "[0, inf)",
        "a negative bonus would collapse the policy",
    )?;
    Ok(one_column::<F, _>("entropy", entropy, None, in_loss, lengths, totals, config.aggregation, Bonus(c))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    /// Fixture `ppo_token_level`: mean entropy 0.42 over five tokens, the sixth (99) is padding.
    #[test]
    fn the_reference_numbers() {
        let entropy = variable(&[0.5, 0.6, 0.7, 0.1, 0.2, 99.0]);
        let mask = [true, true, true, true, true, false];
        let config = EntropyBonus { coefficient: 0.01, ..EntropyBonus::default() };
        let out = entropy_bonus::<f64>(&entropy, &mask, &[3, 3], None, &config).unwrap();
        assert_close(&[out.mean, out.value], &[0.42, -0.0042], 1e-12);
        assert_close(&gradient(&out.loss, &entropy), &[-0.002, -0.002, -0.002, -0.002, -0.002, 0.0], 1e-12);
    }

    #[test]
    fn a_negative_bonus_is_refused() {
        let config = EntropyBonus { coefficient: -1.0, ..EntropyBonus::default() };
        assert!(entropy_bonus::<f64>(&variable(&[1.0]), &[true], &[1], None, &config).is_err());
    }
}
