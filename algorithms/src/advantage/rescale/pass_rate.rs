//! Rescaling by pass rate: groups that are half solved teach most.
//!
//! # What it is
//!
//! Multiplies the advantages of a group by a factor that grows with the spread of its outcomes: 4 p (1 - p) for a group
//! of which the share p passed, that is 0 for all or none, 1 for one half.
//!
//! # Objective
//!
//! ```text
//! A'_i = A_i (low + (high - low) 4 p_g (1 - p_g))
//! ```
//!
//! # When to use it, when not
//!
//! Outcome rewards over tasks of mixed difficulty, above all after an estimator that divides by the group's deviation
//! ([`grpo`](crate::advantage::grpo)), which gives nearly solved groups the most weight. Needless with
//! [`dr_grpo`](crate::advantage::dr_grpo), whose advantages shrink there by themselves.
//!
//! # Shapes, units, errors
//!
//! `advantages`, `passed` and `groups` have one entry per sample. Refuses unequal lengths and improper bounds.
//!
//! # References
//!
//! Model card of KAT-Dev-72B-Exp (2025): the advantage distribution is rescaled by pass rate. The form of the factor is
//! ours; none was published.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::advantage::rescale::{Bounds, pass_rate::rescale_by_pass_rate};
//! let a = rescale_by_pass_rate(&[1.0, -1.0], &[true, false], &[0, 0], Bounds::default())?;
//! assert_eq!(a, [1.5, -1.5]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use std::collections::BTreeMap;

use super::Bounds;
use crate::Result;
use crate::advantage::AdvantageError;

/// Advantages weighted by the spread of their group's outcomes. See the [module documentation](self).
pub fn rescale_by_pass_rate(advantages: &[f64], passed: &[bool], groups: &[u32], bounds: Bounds) -> Result<Vec<f64>> {
    let bounds = bounds.check()?;
    let want = advantages.len();
    for (what, got) in [("pass flag", passed.len()), ("group number", groups.len())] {
        if got != want {
            return Err(AdvantageError::Length { what, got, want }.into());
        }
    }
    let mut tally: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    for (&group, &pass) in groups.iter().zip(passed) {
        let (passes, samples) = tally.entry(group).or_default();
        *passes += f64::from(u8::from(pass));
        *samples += 1.0;
    }
    let factor = |group: &u32| {
        let (passes, samples) = tally[group];
        let rate = passes / samples;
        bounds.at(4.0 * rate * (1.0 - rate))
    };
    Ok(advantages.iter().zip(groups).map(|(a, group)| a * factor(group)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_solved_group_gets_three_quarters_of_the_range() {
        // p = 1/4: 4 * .25 * .75 = .75, factor .5 + .75 = 1.25. All passed: factor .5.
        let passed = [true, false, false, false, true, true];
        let got = rescale_by_pass_rate(&[1.0; 6], &passed, &[0, 0, 0, 0, 9, 9], Bounds::default()).unwrap();
        assert_eq!(got, [1.25, 1.25, 1.25, 1.25, 0.5, 0.5]);
    }

    #[test]
    fn improper_bounds_are_refused() {
        let bounds = Bounds { low: -1.0, high: 1.0 };
        assert!(rescale_by_pass_rate(&[1.0], &[true], &[0], bounds).is_err());
        assert!(rescale_by_pass_rate(&[1.0], &[], &[0], Bounds::default()).is_err());
    }
}
