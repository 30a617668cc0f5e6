//! Mixtures: several groups of tasks drawn in fixed proportions.

use crate::seed::Seed;

/// Draws a group for every task, each group as often as its weight says: after `n` draws every group has been drawn
/// `n × weight` times, give or take a few, where independent draws would stray by the square root of `n`.
#[derive(Debug, Clone)]
pub struct Mixture {
    weights: Vec<f64>,
    seed: Seed,
}

/// Why weights make no mixture.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MixtureError {
    /// A weight that is negative or no number.
    #[error("the weight of group {index} is {weight}, but must be a number of at least 0")]
    BadWeight {
        /// Which group.
        index: usize,
        /// Its weight.
        weight: f64,
    },
    /// Nothing to draw.
    #[error("all weights of the mixture are 0")]
    AllZero,
}

impl Mixture {
    /// A mixture; the weights need not sum to 1.
    ///
    /// # Errors
    /// A weight that is negative or not finite; no weight above 0.
    pub fn new(weights: &[f64], seed: Seed) -> Result<Self, MixtureError> {
        if let Some(index) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            return Err(MixtureError::BadWeight { index, weight: weights[index] });
        }
        let sum: f64 = weights.iter().sum();
        if sum <= 0.0 {
            return Err(MixtureError::AllZero);
        }
        Ok(Self { weights: weights.iter().map(|weight| weight / sum).collect(), seed })
    }

    /// The group of draw number `draw`: systematic sampling, so that short runs keep the proportions too. A pure function
    /// of the draw's number: nothing has to be checkpointed.
    pub fn group(&self, draw: u64) -> usize {
        // the fractional parts of offset + draw × golden ratio fill [0, 1) evenly at every length
        let offset = self.seed.child("mixture", 0).draw(0) as f64 / u64::MAX as f64;
        let point = (offset + draw as f64 * 0.618_033_988_749_894_8).fract();
        let mut sum = 0.0;
        for (group, weight) in self.weights.iter().enumerate() {
            sum += weight;
            if point < sum {
                return group;
            }
        }
        self.weights.iter().rposition(|weight| *weight > 0.0).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportions_hold_in_short_runs() {
        let mixture = Mixture::new(&[2.0, 1.0, 0.0, 1.0], Seed::of_run(1)).unwrap();
        let mut counts = [0_i64; 4];
        for draw in 0..400 {
            counts[mixture.group(draw)] += 1;
        }
        assert_eq!(counts[2], 0);
        assert!((counts[0] - 200).abs() <= 4 && (counts[1] - 100).abs() <= 4, "{counts:?}");
    }

    #[test]
    fn bad_weights() {
        assert!(matches!(Mixture::new(&[1.0, -1.0], Seed::of_run(1)), Err(MixtureError::BadWeight { index: 1, .. })));
        assert!(matches!(Mixture::new(&[f64::NAN], Seed::of_run(1)), Err(MixtureError::BadWeight { .. })));
        assert_eq!(Mixture::new(&[], Seed::of_run(1)).unwrap_err(), MixtureError::AllZero);
    }
}
