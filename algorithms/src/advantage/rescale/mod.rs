//! Rescaling: more weight where the policy still explores, less where it is sure.
//!
//! Two public descriptions of the same training run (KAT-Dev-72B-Exp) disagree on what measures exploration: the
//! model card says the pass rate of a group ([`pass_rate`]), the press text the entropy of a roll-out ([`mod@entropy`]). Both are
//! here; both multiply an advantage by a factor between [`Bounds::low`] and [`Bounds::high`] and never change its sign.

pub mod entropy;
pub mod pass_rate;

use serde::{Deserialize, Serialize};

use super::AdvantageError;
use crate::Result;

/// The factors at no exploration and at the most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// Factor of the least exploratory samples. Default 0.5.
    pub low: f64,
    /// Factor of the most exploratory samples. Default 1.5.
    pub high: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { low: 0.5, high: 1.5 }
    }
}

impl Bounds {
    fn check(self) -> Result<Self> {
        if 0.0 <= self.low && self.low <= self.high && self.high.is_finite() {
            Ok(self)
        } else {
            let hint = "a negative factor would turn a reward into a punishment";
            Err(AdvantageError::Setting { name: "bounds", value: self.low, range: "0 <= low <= high", hint }.into())
        }
    }

    /// The factor at `z` in \[0, 1\].
    fn at(self, z: f64) -> f64 {
        self.low + (self.high - self.low) * z
    }
}
