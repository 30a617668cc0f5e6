//! # What it is
//! A gate per agent: an update that already moved the policy too far is dropped instead of applied.
//!
//! # Objective (formula)
//! ```text
//! step iff approx_kl <= threshold,   approx_kl = mean k3 of the new against the old policy
//! ```
//!
//! # When to use it, when not
//! As a brake when one batch feeds several updates. Take a threshold well above the noise of k3, which is about half
//! the squared change of a log-probability: MARFT v1's 1.7e-6 at token level trips on a drift of 0.002 nats and drops
//! most updates after the first; 2e-2 is what its first release and POAD used.
//!
//! # Shapes, units, errors
//! Nats per token (or per action, at action level). A divergence that is not finite is refused: it must not pass as
//! "small", nor silently as "too far".
//!
//! # References
//! POAD, arXiv 2405.15821; MARFT v1 (`KL gate` in its trainers); `target_kl` of many PPO programs.
//!
//! # Example
//! ```
//! use marft_algorithms::kl::KlGate;
//! let gate = KlGate { threshold: 1e-3 };
//! assert!(gate.passes(5e-4)? && !gate.passes(2e-3)?);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::Deserialize;

use crate::loss::LossError;

/// The largest divergence with which an agent may still step. See the [module documentation](self).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KlGate {
    /// Nats. Default 0.02.
    #[serde(alias = "kl_threshold", alias = "target_kl")]
    pub threshold: f64,
}

impl Default for KlGate {
    fn default() -> Self {
        Self { threshold: 0.02 }
    }
}

impl KlGate {
    /// Whether an agent whose update measured `approx_kl` may step.
    pub fn passes(&self, approx_kl: f64) -> crate::Result<bool> {
        if approx_kl.is_finite() {
            Ok(approx_kl <= self.threshold)
        } else {
            Err(LossError::NotFinite { what: "approx_kl", index: 0, value: approx_kl }.into())
        }
    }

    /// The same for every agent; a refusal names the agent by its index.
    pub fn passes_each(&self, approx_kl: &[f64]) -> crate::Result<Vec<bool>> {
        match approx_kl.iter().enumerate().find(|(_, kl)| !kl.is_finite()) {
            Some((index, &value)) => Err(LossError::NotFinite { what: "approx_kl by agent", index, value }.into()),
            None => Ok(approx_kl.iter().map(|&kl| kl <= self.threshold).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fixture `kl_gate`.
    #[test]
    fn the_reference_numbers() {
        let kl = [0.0, 1e-6, 2e-6, 5e-4, 2e-3];
        let action = KlGate { threshold: 1e-3 }.passes_each(&kl).unwrap();
        assert_eq!(action, [true, true, true, true, false]);
        let token = KlGate { threshold: 1.7e-6 }.passes_each(&kl).unwrap();
        assert_eq!(token, [true, true, false, false, false]);
    }

    #[test]
    fn the_threshold_itself_passes_and_two_hundredths_is_the_default() {
        // The first release of MARFT and POAD.
        assert_eq!(KlGate::default().threshold, 2e-2);
        assert_eq!(KlGate::default().passes_each(&[2e-2, 2.000_001e-2]).unwrap(), [true, false]);
    }

    /// k3 is about half the squared change: 2e-3 nats either way give 1.9987e-6 and 2.0013e-6, above 1.7e-6.
    #[test]
    fn a_gate_of_1_7e_6_trips_on_a_drift_of_two_thousandths() {
        let k3 = [2e-3, -2e-3].map(|d| crate::kl::KlEstimator::K3.value(d));
        crate::loss::testing::assert_close(&k3.map(|k3| 1e6 * k3), &[1.998_667_333_079, 2.001_334_000_303], 1e-9);
        assert_eq!(KlGate { threshold: 1.7e-6 }.passes_each(&k3).unwrap(), [false; 2]);
        assert_eq!(KlGate { threshold: 1e-3 }.passes_each(&k3).unwrap(), [true; 2]);
    }

    #[test]
    fn a_nan_neither_passes_nor_stops() {
        assert!(KlGate::default().passes(f64::NAN).is_err());
        assert!(KlGate::default().passes_each(&[0.0, f64::INFINITY]).is_err());
    }
}
