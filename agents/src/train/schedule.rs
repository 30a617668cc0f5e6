//! Learning-rate schedules: a factor on the rate for every update.
//!
//! The formulas are those of transformers' `get_constant_schedule_with_warmup`, `get_linear_schedule_with_warmup` and
//! `get_cosine_schedule_with_warmup`, so a pasted setting means the same; with a warm-up the very first update has rate 0.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// How the rate goes on after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// It stays.
    #[default]
    Constant,
    /// It falls in a straight line to zero at the last update.
    Linear,
    /// It falls along half a cosine to zero at the last update.
    Cosine,
}

/// A schedule.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// What follows the warm-up.
    pub decay: Decay,
    /// Updates over which the rate rises from zero.
    pub warmup: u64,
    /// Updates of the whole run; a decay needs to know.
    pub total: u64,
}

impl Schedule {
    /// The factor on the rate for the update that follows `done` updates.
    pub fn factor(&self, done: u64) -> f64 {
        if done < self.warmup {
            return done as f64 / self.warmup as f64;
        }
        let left = self.total.saturating_sub(self.warmup).max(1) as f64;
        let progress = ((done - self.warmup) as f64 / left).min(1.0);
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => 1.0 - progress,
            Decay::Cosine => 0.5 * (1.0 + (PI * progress).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// transformers 4.57: `[get_*_schedule_with_warmup(opt, 4, 12).lr_lambdas[0](i) for i in (0, 2, 4, 6, 12, 20)]`.
    #[test]
    fn factors_are_those_of_transformers() {
        let at = |decay| {
            let schedule = Schedule { decay, warmup: 4, total: 12 };
            [0, 2, 4, 6, 12, 20].map(|done| (schedule.factor(done) * 1e6).round() / 1e6)
        };
        assert_eq!(at(Decay::Constant), [0.0, 0.5, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(at(Decay::Linear), [0.0, 0.5, 1.0, 0.75, 0.0, 0.0]);
        assert_eq!(at(Decay::Cosine)[..5], [0.0, 0.5, 1.0, 0.853_553, 0.0]);
    }

    #[test]
    fn without_warmup_the_first_update_has_the_full_rate() {
        assert_eq!(Schedule::default().factor(0), 1.0);
    }
}
