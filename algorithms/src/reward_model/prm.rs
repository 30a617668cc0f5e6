//! # What it is
//! Training a judge of steps: a score at the end of every step, each with its own label.
//!
//! # Objective (formula)
//! ```text
//! L = -agg[ y_t log σ(r_t) + (1 - y_t) log(1 - σ(r_t)) ]
//! ```
//! (A survey prints a second σ around one of the terms.) The sum over a trajectory's steps, averaged over trajectories,
//! is `seq-mean-token-sum`, the default.
//!
//! # When to use it, when not
//! For search, best-of-n over long solutions and dense rewards. Labels come from people or from roll-outs
//! ([`rollout_labels`](mod@super::rollout_labels)); soft ones carry more information than hard ones at the same cost.
//!
//! # Shapes, units, errors
//! `score` `[n]` with gradient (logits, one per step of all trajectories); `label` `[n]` in [0, 1]; steps outside
//! `in_loss` are unlabelled; `lengths` steps per trajectory. Refused as in [`orm`](mod@super::orm).
//!
//! # References
//! Lightman et al., arXiv 2305.20050; Math-Shepherd, arXiv 2312.08935. TRL `PRMTrainer`.
//!
//! # Example
//! ```
//! use marft_algorithms::reward_model::{Prm, prm};
//! let score = tch::Tensor::from_slice(&[0.0_f64, 0.0]).set_requires_grad(true);
//! let out = prm(&score, &[1.0, 0.0], &[true, true], &[2], &Prm::default())?;
//! assert!((out.value - 2.0 * std::f64::consts::LN_2).abs() < 1e-12);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::Deserialize;
use tch::Tensor;

use super::logistic::{CrossEntropy, name_label};
use crate::loss::{Aggregation, Lane, ScalarLoss, one_column, same_length};

/// Settings of [`prm`].
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prm {
    /// How steps become one number. Default `seq-mean-token-sum`; TRL's is `token-mean`.
    pub aggregation: Aggregation,
}

impl Default for Prm {
    fn default() -> Self {
        Self { aggregation: Aggregation::SeqMeanTokenSum }
    }
}

/// The stepwise loss; `mean` of the result is the accuracy. See the [module documentation](self).
pub fn prm<F: Lane>(
    score: &Tensor,
    label: &[F],
    in_loss: &[bool],
    lengths: &[usize],
    config: &Prm,
) -> crate::Result<ScalarLoss> {
    same_length("label", label.len(), in_loss.len())?;
    let other = Some(("label", label));
    one_column("score", score, other, in_loss, lengths, None, config.aggregation, CrossEntropy)
        .map_err(|error| name_label(error, label, in_loss).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    /// By hand: trajectory 1 has r = 1 (y = 1) and an unlabelled step, trajectory 2 r = -2 (y = 0):
    /// (softplus(-1) + softplus(-2)) / 2.
    #[test]
    fn sums_over_steps_and_means_over_trajectories() {
        let score = variable(&[1.0, 9.0, -2.0]);
        let out = prm(&score, &[1.0, f64::NAN, 0.0], &[true, false, true], &[2, 1], &Prm::default()).unwrap();
        assert_close(&[out.value], &[0.5 * (0.313_261_687_518_222_8 + 0.126_928_011_042_972_5)], 1e-12);
        let want = [-0.268_941_421_369_995_1 / 2.0, 0.0, 0.119_202_922_022_117_55 / 2.0];
        assert_close(&gradient(&out.loss, &score), &want, 1e-12);
        assert_eq!((out.mean, out.tokens), (1.0, 2));
    }

    /// The gradient is the slope of the value, by central differences.
    #[test]
    fn finite_differences() {
        let at = |r: f64| prm(&variable(&[r, 0.3]), &[0.375, 1.0], &[true; 2], &[2], &Prm::default()).unwrap().value;
        let score = variable(&[-0.8, 0.3]);
        let out = prm(&score, &[0.375, 1.0], &[true; 2], &[2], &Prm::default()).unwrap();
        let slope = (at(-0.8 + 1e-6) - at(-0.8 - 1e-6)) / 2e-6;
        assert_close(&gradient(&out.loss, &score)[..1], &[slope], 1e-8);
    }
}
