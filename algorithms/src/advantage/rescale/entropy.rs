//! Rescaling by entropy: roll-outs in which the policy hesitated teach most.
//!
//! # What it is
//!
//! Multiplies the advantage of each roll-out by a factor that grows with its mean token entropy, normalised to the range
//! of the batch.
//!
//! # Objective
//!
//! ```text
//! z_i = (H_i - min H) / (max H - min H)          A'_i = A_i (low + (high - low) z_i)
//! ```
//!
//! # When to use it, when not
//!
//! To keep exploration alive when a policy turns deterministic too soon. Not with a high temperature: then entropy
//! measures noise. If all entropies are equal every factor is the middle of the bounds.
//!
//! # Shapes, units, errors
//!
//! `advantages` and `entropies` (mean over the tokens of a roll-out, nats) have one entry per roll-out. Refuses unequal
//! lengths, entropies that are negative or not finite, and improper bounds.
//!
//! # References
//!
//! Press text on KAT-Dev-72B-Exp (2025): each roll-out's normalised policy entropy scales its advantage. The form of the
//! factor is ours; none was published.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::advantage::rescale::{Bounds, entropy::rescale_by_entropy};
//! assert_eq!(rescale_by_entropy(&[1.0, 1.0], &[0.1, 2.0], Bounds::default())?, [0.5, 1.5]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use super::Bounds;
use crate::Result;
use crate::advantage::AdvantageError;

/// Advantages weighted by the entropy of their roll-out. See the [module documentation](self).
pub fn rescale_by_entropy(advantages: &[f64], entropies: &[f64], bounds: Bounds) -> Result<Vec<f64>> {
    let bounds = bounds.check()?;
    if entropies.len() != advantages.len() {
        let (got, want) = (entropies.len(), advantages.len());
        return Err(AdvantageError::Length { what: "entropy", got, want }.into());
    }
    if let Some(index) = entropies.iter().position(|h| !(h.is_finite() && *h >= 0.0)) {
        return Err(AdvantageError::NotFinite { what: "entropy", index, value: entropies[index] }.into());
    }
    let low = entropies.iter().copied().fold(f64::INFINITY, f64::min);
    let high = entropies.iter().copied().fold(0.0, f64::max);
    let z = |h: f64| if high > low { (h - low) / (high - low) } else { 0.5 };
    Ok(advantages.iter().zip(entropies).map(|(a, &h)| a * bounds.at(z(h))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_is_linear_between_the_least_and_the_most() {
        let got = rescale_by_entropy(&[2.0, -2.0, 2.0], &[1.0, 1.5, 3.0], Bounds::default()).unwrap();
        assert_eq!(got, [1.0, -1.5, 3.0]);
    }

    #[test]
    fn equal_entropies_change_nothing_by_default() {
        assert_eq!(rescale_by_entropy(&[2.0, -1.0], &[0.7, 0.7], Bounds::default()).unwrap(), [2.0, -1.0]);
    }

    #[test]
    fn a_nan_entropy_is_refused() {
        assert!(rescale_by_entropy(&[1.0], &[f64::NAN], Bounds::default()).is_err());
    }
}
