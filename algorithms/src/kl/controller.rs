//! # What it is
//! The coefficient of a KL penalty: fixed, or steered so that the measured divergence meets a target.
//!
//! # Objective (formula)
//! ```text
//! e = clip( kl / target - 1, -0.2, 0.2 )
//! β ← β (1 + e n / horizon),   n = samples seen since the last update
//! ```
//!
//! # When to use it, when not
//! Adaptive where the right β is unknown and runs are long; it is slow by design (20 % in `horizon / 5` samples at
//! most). Fixed where results are to be compared.
//!
//! # Shapes, units, errors
//! `kl` in nats, the same estimate that is penalised. A divergence that is not finite is refused, and the coefficient
//! stays as it was. The state is serialisable; it belongs in the checkpoint.
//!
//! # References
//! Ziegler et al., arXiv 1909.08593, section 2.2. verl `algorithm.kl_ctrl.{type, kl_coef, target_kl, horizon}`.
//!
//! # Example
//! ```
//! use marft_algorithms::kl::KlController;
//! let mut controller = KlController::Adaptive { coefficient: 0.1, target: 0.1, horizon: 10_000.0 };
//! controller.update(1.0, 1000)?; // far above the target: +20 % * 1000 / 10000
//! assert!((controller.coefficient() - 0.102).abs() < 1e-15);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use crate::loss::{LossError, positive};

/// The coefficient of a KL penalty and how it moves. See the [module documentation](self).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum KlController {
    /// Never moves.
    Fixed {
        /// β.
        #[serde(alias = "kl_coef")]
        coefficient: f64,
    },
    /// Moves towards a target.
    Adaptive {
        /// β now.
        #[serde(alias = "kl_coef")]
        coefficient: f64,
        /// The divergence wanted, nats. verl: 0.1.
        #[serde(alias = "target_kl")]
        target: f64,
        /// Samples over which β moves by the whole error. verl: 10000.
        horizon: f64,
    },
}

impl Default for KlController {
    /// verl's: fixed at 0.001.
    fn default() -> Self {
        Self::Fixed { coefficient: 0.001 }
    }
}

impl KlController {
    /// β now.
    pub fn coefficient(&self) -> f64 {
        match *self {
            Self::Fixed { coefficient } | Self::Adaptive { coefficient, .. } => coefficient,
        }
    }

    /// Moves β after `samples` samples whose mean divergence was `kl`.
    pub fn update(&mut self, kl: f64, samples: usize) -> crate::Result<()> {
        if !kl.is_finite() {
            return Err(LossError::NotFinite { what: "the measured divergence", index: 0, value: kl }.into());
        }
        if let Self::Adaptive { coefficient, target, horizon } = self {
            positive("target_kl", *target, "the divergence wanted, for example 0.1")?;
            positive("horizon", *horizon, "samples, for example 10000")?;
            let error = (kl / *target - 1.0).clamp(-0.2, 0.2);
            // A horizon shorter than the batch must not turn the sign of the penalty.
            *coefficient *= (1.0 + error * samples as f64 / *horizon).max(0.0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: error 0.1 / 0.1 - 1 = 0; 0.11 / 0.1 - 1 = 0.1; 0 gives -0.2. β = 0.2, n / horizon = 0.5.
    #[test]
    fn it_moves_towards_the_target() {
        for (kl, want) in [(0.1, 0.2), (0.11, 0.21), (0.0, 0.18), (9.0, 0.22)] {
            let mut controller = KlController::Adaptive { coefficient: 0.2, target: 0.1, horizon: 1000.0 };
            controller.update(kl, 500).unwrap();
            assert!((controller.coefficient() - want).abs() < 1e-12, "{kl}");
        }
    }

    #[test]
    fn fixed_stays_and_nan_is_refused() {
        let mut controller = KlController::default();
        controller.update(5.0, 1000).unwrap();
        assert_eq!(controller.coefficient(), 0.001);
        assert!(controller.update(f64::NAN, 1).is_err());
    }

    #[test]
    fn verls_names_are_read() {
        let text = r#"{"type": "adaptive", "kl_coef": 0.001, "target_kl": 0.1, "horizon": 10000}"#;
        let want = KlController::Adaptive { coefficient: 0.001, target: 0.1, horizon: 10_000.0 };
        assert_eq!(serde_json::from_str::<KlController>(text).unwrap(), want);
    }
}
