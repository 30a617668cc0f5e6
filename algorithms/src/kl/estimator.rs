//! # What it is
//! Three estimates of KL(π‖π_ref) from a single sampled token, known by John Schulman's numbering, and verl's form of the
//! third.
//!
//! # Objective (formula)
//! With d = log π(a) - log π_ref(a) for a token a sampled from π:
//!
//! | name | estimate | bias | variance | derivative by log π |
//! |---|---|---|---|---|
//! | `k1` | d | none | high, may be negative | 1 |
//! | `k2` | d² / 2 | small | low | d |
//! | `k3` | exp(-d) - 1 + d | none | low, never negative | 1 - exp(-d) |
//! | `low_var_kl` | min(k3, 10) | downwards | low, never negative | 1 - exp(-d), 0 where k3 > 10 |
//!
//! # When to use it, when not
//! In the *reward*, k1 is the classic choice (PPO from human feedback). In the *loss*, take k3 (GRPO): the derivative of
//! k1 is a constant, whose expectation under the score function is zero, so k1 in the loss regularises nothing. k2's
//! derivative is the unbiased gradient of the reverse KL on on-policy samples. `low_var_kl` lets go of a token whose
//! reference probability is more than 13 times its own, where k3 pulls hardest: for parity with verl.
//!
//! # Shapes, units, errors
//! Per token, nats. For k3, d is limited to ±20, so that the result stays finite; beyond it the gradient is zero.
//!
//! # References
//! J. Schulman, "Approximating KL divergence" (2020). verl `kl_penalty` / `kl_loss_type`; TRL `kl_estimator`, `beta`.
//!
//! # Example
//! ```
//! use marft_algorithms::kl::KlEstimator;
//! let d: f64 = -0.1;
//! assert_eq!(KlEstimator::K1.value(d), -0.1);
//! assert!((KlEstimator::K2.value(d) - 0.005).abs() < 1e-15);
//! assert!((KlEstimator::K3.value(d) - 0.005_170_918_075_647_5).abs() < 1e-15);
//! ```

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]

use serde::{Deserialize, Serialize};

use crate::loss::{LOG_RATIO_LIMIT, Lane};
use crate::loss::{Objective, Term};

/// Which estimate. See the [module documentation](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlEstimator {
    /// d; verl's `kl`.
    #[serde(alias = "kl")]
    K1,
    /// d² / 2; verl's `mse`.
    #[serde(alias = "mse")]
    K2,
    /// exp(-d) - 1 + d, as TRL has it.
    #[default]
    K3,
    /// k3 of at most 10, without gradient beyond, as verl has it.
    #[serde(rename = "low_var_kl")]
    K3Capped,
}

/// The largest estimate of verl's `low_var_kl`, nats.
const CAP: f64 = 10.0;

impl KlEstimator {
    /// The estimate for one token with d = log π - log π_ref, nats. A NaN stays one.
    pub fn value<F: Lane>(self, d: F) -> F {
        let estimate = self.parts::<F, false>(d).0;
        if d.wide().is_nan() { d } else { estimate }
    }

    /// The estimate and its derivative by log π.
    #[inline(always)]
    fn parts<F: Lane, const FUSED: bool>(self, d: F) -> (F, F) {
        match self {
            Self::K1 => (d, F::ONE),
            Self::K2 => (d * d * F::narrow(0.5), d),
            Self::K3 => k3_parts::<F, FUSED>(d),
            Self::K3Capped => {
                let (estimate, slope) = k3_parts::<F, FUSED>(d);
                let cap = F::narrow(CAP);
                (estimate.least(cap), if estimate > cap { <F as Lane>::ZERO } else { slope })
            }
        }
    }

    /// Runs `task` with β times this estimator as an objective of its own type: with the choice inside the loop, the
    /// loop would not vectorise.
    pub(crate) fn with_objective<F: Lane, T: KlTask<F>>(self, beta: f64, task: T) -> T::Output {
        let beta = F::narrow(beta);
        match self {
            Self::K1 => task.run(Divergence::<F, 1> { beta }),
            Self::K2 => task.run(Divergence::<F, 2> { beta }),
            Self::K3 => task.run(Divergence::<F, 3> { beta }),
            Self::K3Capped => task.run(Divergence::<F, 4> { beta }),
        }
    }
}

/// k3 and its derivative. Not a call of [`KlEstimator::parts`] by itself: what calls itself is not inlined.
#[inline(always)]
fn k3_parts<F: Lane, const FUSED: bool>(d: F) -> (F, F) {
    let limit = F::narrow(LOG_RATIO_LIMIT);
    let limited = d.least(limit).most(-limit);
    let parts = (-limited).exp_parts::<FUSED>();
    (parts.k3, if limited == d { -parts.minus_one } else { <F as Lane>::ZERO })
}

/// What is done with a divergence once its type is known.
pub(crate) trait KlTask<F: Lane> {
    /// What comes of it.
    type Output;
    /// Does it.
    fn run<O: Objective<F, 1>>(self, objective: O) -> Self::Output;
}

/// β times the estimate of this number.
#[derive(Clone, Copy)]
struct Divergence<F, const NUMBER: u8> {
    beta: F,
}

impl<F: Lane, const NUMBER: u8> Objective<F, 1> for Divergence<F, NUMBER> {
    const COLUMNS: usize = 2;

    #[inline(always)]
    fn term<const FUSED: bool>(self, new: F, reference: F, _: F) -> Term<F, 1> {
        let estimator = match NUMBER {
            1 => KlEstimator::K1,
            2 => KlEstimator::K2,
            3 => KlEstimator::K3,
            _ => KlEstimator::K3Capped,
        };
        let (estimate, slope) = estimator.parts::<F, FUSED>(new - reference);
        Term { loss: self.beta * estimate, grad: self.beta * slope, stats: [estimate] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fixture `kl_estimators` of tests/fixtures/fixtures.json.
    #[test]
    fn the_reference_numbers() {
        let rows = [
            (0.199_999_999_999_999_96, 0.019_999_999_999_999_99, 0.018_730_753_077_981_888),
            (-0.099_999_999_999_999_98, 0.004_999_999_999_999_997_5, 0.005_170_918_075_647_513),
            (0.600_000_000_000_000_1, 0.180_000_000_000_000_05, 0.148_811_636_094_026_48),
        ];
        for (d, (k1, k2, k3)) in [-1.0 + 1.2, -0.5 + 0.4, -2.0 + 2.6].into_iter().zip(rows) {
            assert!((KlEstimator::K1.value::<f64>(d) - k1).abs() < 1e-12);
            assert!((KlEstimator::K2.value::<f64>(d) - k2).abs() < 1e-12);
            assert!((KlEstimator::K3.value::<f64>(d) - k3).abs() < 1e-12);
            assert!((f64::from(KlEstimator::K3.value(d as f32)) - k3).abs() < 1e-6);
        }
    }

    /// exp(x) - x - 1 with x = -d, and its slope 1 - exp(x); verl clamps x to ±20 and the estimate to ±10.
    /// python3 -c "from math import exp; print([(exp(x) - x - 1, 1 - exp(x)) for x in (2.5, 3, -12)])"
    #[test]
    fn the_form_of_verl_stops_at_ten() {
        let rows = [
            (2.5, (8.682_493_960_703_473, -11.182_493_960_703_473), (8.682_493_960_703_473, -11.182_493_960_703_473)),
            (3.0, (16.085_536_923_187_668, -19.085_536_923_187_668), (10.0, 0.0)),
            (-12.0, (11.000_006_144_212_353, 0.999_993_855_787_646_7), (10.0, 0.0)),
            (25.0, (485_165_174.409_790_3, 0.0), (10.0, 0.0)),
        ];
        for (x, plain, capped) in rows {
            for (estimator, (value, slope)) in [(KlEstimator::K3, plain), (KlEstimator::K3Capped, capped)] {
                let got = estimator.parts::<f64, false>(-x);
                assert!((got.0 - value).abs() <= 1e-12 * value.max(1.0), "{estimator:?} at {x}: {got:?}");
                assert!((got.1 - slope).abs() <= 1e-12 * slope.abs().max(1.0), "{estimator:?} at {x}: {got:?}");
            }
        }
    }

    #[test]
    fn derivatives_are_those_of_the_values() {
        for estimator in [KlEstimator::K1, KlEstimator::K2, KlEstimator::K3, KlEstimator::K3Capped] {
            for d in [-3.0, -0.3, -1e-3, 0.0, 1e-3, 0.3, 3.0, 19.0] {
                let h = 1e-5;
                let slope = (estimator.value(d + h) - estimator.value(d - h)) / (2.0 * h);
                let (_, derivative) = estimator.parts::<f64, false>(d);
                assert!((slope - derivative).abs() < 1e-6 * derivative.abs().max(1.0), "{estimator:?} at {d}");
            }
        }
    }

    #[test]
    fn k3_is_never_negative_and_never_infinite() {
        for step in -3000..=3000 {
            let k3 = KlEstimator::K3.value(step as f32 * 0.013);
            assert!(k3 >= 0.0 && k3.is_finite());
        }
    }

    #[test]
    fn both_vocabularies_are_read() {
        for (text, want) in [
            ("k1", KlEstimator::K1),
            ("kl", KlEstimator::K1),
            ("mse", KlEstimator::K2),
            ("k3", KlEstimator::K3),
            ("low_var_kl", KlEstimator::K3Capped),
        ] {
            assert_eq!(serde_json::from_str::<KlEstimator>(&format!("\"{text}\"")).unwrap(), want);
        }
    }
}
