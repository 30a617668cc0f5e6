//! Team shared: every turn is paid the whole team reward.
//!
//! # What it is
//!
//! Each agent sees the team reward as its own.
//!
//! # Objective
//!
//! ```text
//! r_i = R
//! ```
//!
//! # When to use it, when not
//!
//! Independent learners: with [`Chain::per_agent`](crate::trajectory::Chain::per_agent), or with estimators by turn. Not
//! along the team's chain: there agent i also collects what agents i+1.. were paid, and the team reward counts n times.
//! [`linked`] refuses that combination.
//!
//! # Shapes, units, errors
//!
//! `turns` rewards, in units of `reward`. Refuses no turns and a reward that is not finite.
//!
//! # References
//!
//! de Witt et al. 2020 (IPPO), arXiv 2011.09533.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::credit::team_shared::team_shared;
//! assert_eq!(team_shared(2, 0.5)?, [0.5, 0.5]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use super::{CreditError, check_finite, some_turns};
use crate::Result;

/// The whole reward for each of `turns` turns. See the [module documentation](self).
pub fn team_shared(turns: usize, reward: f64) -> Result<Vec<f64>> {
    some_turns("team_shared", turns)?;
    check_finite("team_shared", "reward", &[reward])?;
    Ok(vec![reward; turns])
}

/// Refuses paying `turns` linked turns the whole reward each, where more than one is paid.
///
/// `turns` is the number of turns of one episode that the estimator's chain links.
pub fn linked(turns: usize) -> Result<()> {
    if turns > 1 { Err(CreditError::CountedTwice { rule: "team_shared", turns }.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paying_linked_turns_is_refused_with_the_way_out() {
        let refused = linked(3).unwrap_err().to_string();
        assert!(refused.contains("3 times") && refused.contains("last_agent"), "{refused}");
        assert!(linked(1).is_ok());
    }
}
