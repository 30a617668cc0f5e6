//! Step discount: every turn is paid, the earlier the less.
//!
//! # What it is
//!
//! The team reward, multiplied by a discount for every turn between a turn and the last one.
//!
//! # Objective
//!
//! ```text
//! r_i = R d^(n - 1 - i)
//! ```
//!
//! # When to use it, when not
//!
//! Without a critic, by turn. The payments sum to more than R, so use it with estimators that do not sum along the
//! chain; with [`gae`](crate::advantage::gae) over the team's chain the reward would be counted several times.
//!
//! # Shapes, units, errors
//!
//! `turns` rewards, in units of `reward`. Refuses no turns, a discount outside \[0, 1\], a reward that is not finite.
//!
//! # References
//!
//! `step_discount` of MARFT's second release (Liao et al. 2025, arXiv 2504.16129).
//!
//! # Example
//!
//! ```
//! use marft_algorithms::credit::step_discount::step_discount;
//! assert_eq!(step_discount(3, 1.0, 0.5)?, [0.25, 0.5, 1.0]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use super::{CreditError, check_finite, some_turns};
use crate::Result;

/// The reward of each of `turns` turns. See the [module documentation](self).
pub fn step_discount(turns: usize, reward: f64, discount: f64) -> Result<Vec<f64>> {
    some_turns("step_discount", turns)?;
    check_finite("step_discount", "reward", &[reward])?;
    if !(0.0..=1.0).contains(&discount) {
        let hint = "1 pays every turn the whole reward, 0 the last one only";
        return Err(CreditError::Setting { name: "discount", value: discount, range: "[0, 1]", hint }.into());
    }
    let mut paid = vec![reward; turns];
    for turn in (0..turns - 1).rev() {
        paid[turn] = discount * paid[turn + 1];
    }
    Ok(paid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_turns_fade_to_zero_without_trouble() {
        let paid = step_discount(1000, 1.0, 0.1).unwrap();
        assert_eq!((paid[999], paid[0]), (1.0, 0.0));
        assert!(paid.iter().all(|r| r.is_finite()));
    }

    #[test]
    fn a_discount_above_one_is_refused() {
        assert!(step_discount(2, 1.0, 1.5).is_err());
        assert!(step_discount(2, 1.0, f64::NAN).is_err());
    }
}
