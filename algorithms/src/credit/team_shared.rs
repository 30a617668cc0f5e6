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
//! [`Algorithm::from_settings`](crate::preset::Algorithm::from_settings) refuses that combination. Where an agent speaks more
//! than once and its turns are linked, pay its last turn alone.
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

use super::{check_finite, some_turns};
use crate::Result;

/// The whole reward for each of `turns` turns. See the [module documentation](self).
pub fn team_shared(turns: usize, reward: f64) -> Result<Vec<f64>> {
    some_turns("team_shared", turns)?;
    check_finite("team_shared", "reward", &[reward])?;
    Ok(vec![reward; turns])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_paid_is_refused() {
        assert!(team_shared(0, 1.0).is_err() && team_shared(2, f64::NAN).is_err());
    }
}
