//! RAE: a running baseline for every role.
//!
//! # What it is
//!
//! In self-play and in teams of unequal roles the expected reward depends on the role (who moves first, who judges). RAE
//! keeps an exponential moving average of the reward for each (task family, role) and subtracts it. One sample per task
//! is enough.
//!
//! # Objective
//!
//! ```text
//! A = R - b        b <- decay b + (1 - decay) R
//! ```
//!
//! The baseline is read before the sample enters it, hence unbiased; `update_first` gives the other reading.
//!
//! # When to use it, when not
//!
//! Zero-sum and role-asymmetric games with one episode per start. In cooperative tasks with cheap repeated sampling
//! a group baseline has less lag.
//!
//! # Shapes, units, errors
//!
//! One advantage per sample, in units of reward, in the order given: the order matters, so give it a fixed one. The
//! state belongs in the checkpoint: without it, resuming changes the gradient. Refuses a decay outside \[0, 1) and
//! rewards that are not finite; a refused batch leaves the state untouched.
//!
//! # References
//!
//! Liu et al. 2025 (SPIRAL), arXiv 2506.24119; decay 0.95 as in its program.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::advantage::rae::{Rae, RaeConfig, RaeSample};
//! let mut rae = Rae::new(RaeConfig { decay: 0.5, ..RaeConfig::default() })?;
//! let sample = RaeSample { family: 0, role: 1, reward: 1.0 };
//! assert_eq!(rae.advantages(&[sample, sample])?, [1.0, 0.5]);
//! assert_eq!(rae.baseline(0, 1), 0.75);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::AdvantageError;
use super::group::check_finite;
use crate::Result;

/// Settings of [`Rae`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RaeConfig {
    /// Weight of the past in the moving average. Default 0.95.
    pub decay: f64,
    /// The baseline before the first sample, in units of reward. Default 0.
    pub initial: f64,
    /// Let the sample into the baseline before it is subtracted. Default false.
    pub update_first: bool,
}

impl Default for RaeConfig {
    fn default() -> Self {
        Self { decay: 0.95, initial: 0.0, update_first: false }
    }
}

/// One sample: what a role earned in a family of tasks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RaeSample {
    /// The family of tasks or the game.
    pub family: u32,
    /// The role.
    pub role: u32,
    /// The reward of the episode for that role.
    pub reward: f64,
}

/// The estimator with its state. Serialise it into the checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rae {
    config: RaeConfig,
    /// Sorted by family and role, so that equal states have equal bytes.
    baselines: Vec<Baseline>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Baseline {
    family: u32,
    role: u32,
    #[serde(with = "exact")]
    mean: f64,
    samples: u64,
}

/// A float as its bits: text formats may lose the last one, and a resumed run must not differ at all.
mod exact {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
    pub(super) fn serialize<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(number.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        u64::deserialize(from).map(f64::from_bits)
    }
}

impl Rae {
    /// An estimator without history.
    pub fn new(config: RaeConfig) -> Result<Self> {
        if !(0.0..1.0).contains(&config.decay) {
            let hint = "0.95 is usual; at 1 the baseline would never move";
            return Err(AdvantageError::Setting { name: "decay", value: config.decay, range: "[0, 1)", hint }.into());
        }
        check_finite("initial baseline", &[config.initial])?;
        Ok(Self { config, baselines: Vec::new() })
    }

    /// The present baseline of a role.
    pub fn baseline(&self, family: u32, role: u32) -> f64 {
        self.find(family, role).map_or(self.config.initial, |at| self.baselines[at].mean)
    }

    /// Number of samples that a baseline has seen.
    pub fn samples(&self, family: u32, role: u32) -> u64 {
        self.find(family, role).map_or(0, |at| self.baselines[at].samples)
    }

    /// Advantages of `samples`, which also move the baselines, one after the other.
    pub fn advantages(&mut self, samples: &[RaeSample]) -> Result<Vec<f64>> {
        check_finite("reward", &samples.iter().map(|sample| sample.reward).collect::<Vec<_>>())?;
        Ok(samples.iter().map(|&sample| self.advantage(sample)).collect())
    }

    fn advantage(&mut self, RaeSample { family, role, reward }: RaeSample) -> f64 {
        let at = self.find(family, role).unwrap_or_else(|at| {
            let fresh = Baseline { family, role, mean: self.config.initial, samples: 0 };
            self.baselines.insert(at, fresh);
            at
        });
        let baseline = &mut self.baselines[at];
        let before = baseline.mean;
        baseline.mean = self.config.decay * before + (1.0 - self.config.decay) * reward;
        baseline.samples += 1;
        reward - if self.config.update_first { baseline.mean } else { before }
    }

    fn find(&self, family: u32, role: u32) -> std::result::Result<usize, usize> {
        self.baselines.binary_search_by_key(&(family, role), |baseline| (baseline.family, baseline.role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(role: u32, reward: f64) -> RaeSample {
        RaeSample { family: 0, role, reward }
    }

    #[test]
    fn roles_do_not_share_a_baseline() {
        let mut rae = Rae::new(RaeConfig { decay: 0.9, ..RaeConfig::default() }).unwrap();
        // b_0: 0, .1; b_1: 0, -.1; each sample sees its own role's past.
        let got = rae.advantages(&[sample(0, 1.0), sample(1, -1.0), sample(0, 1.0), sample(1, -1.0)]).unwrap();
        assert_eq!(got[..2], [1.0, -1.0]);
        assert!((got[2] - 0.9).abs() < 1e-12 && (got[3] + 0.9).abs() < 1e-12, "{got:?}");
    }

    #[test]
    fn a_resumed_run_continues_bit_for_bit() {
        let mut rae = Rae::new(RaeConfig::default()).unwrap();
        rae.advantages(&[sample(3, 0.3), sample(1, 0.7)]).unwrap();
        let saved = serde_json::to_string(&rae).unwrap();
        let mut resumed: Rae = serde_json::from_str(&saved).unwrap();
        assert_eq!(resumed, rae);
        let next = [sample(1, 0.1), sample(3, 0.9)];
        assert_eq!(resumed.advantages(&next).unwrap(), rae.advantages(&next).unwrap());
        assert_eq!(resumed.samples(0, 3), 2);
    }

    #[test]
    fn a_refused_batch_leaves_no_trace() {
        let mut rae = Rae::new(RaeConfig::default()).unwrap();
        let before = rae.clone();
        assert!(rae.advantages(&[sample(0, 1.0), sample(0, f64::INFINITY)]).is_err());
        assert_eq!(rae, before);
        assert!(Rae::new(RaeConfig { decay: 1.0, ..RaeConfig::default() }).is_err());
    }

    #[test]
    fn updating_first_shrinks_the_advantage() {
        let mut rae = Rae::new(RaeConfig { decay: 0.75, update_first: true, ..RaeConfig::default() }).unwrap();
        assert_eq!(rae.advantages(&[sample(0, 1.0)]).unwrap(), [0.75]);
    }
}
