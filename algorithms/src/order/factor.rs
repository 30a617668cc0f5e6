//! The factor M of sequential updates: what the agents updated before have already changed.
//!
//! # What it is
//!
//! When agents are updated one after the other from one batch, the batch is no longer on policy for the later ones: their
//! predecessors' policies have moved. M compounds the predecessors' ratios and multiplies the surrogate of those that
//! follow.
//!
//! # Objective
//!
//! ```text
//! L_i = -mean( M min(r_i A, clip(r_i) A) )        then  M <- M pi_new_i(a_i) / pi_old_i(a_i)   (detached)
//! ```
//!
//! # When to use it, when not
//!
//! With [`Schedule::Sequential`](super::schedule::Schedule::Sequential) only. Concurrent and interval updates have M = 1.
//! At the token level give the sum of an action's log-probabilities: M is a property of whole actions, and its product
//! over long actions spreads fast; [`Factor::with_limit`] bounds it.
//!
//! # Shapes, units, errors
//!
//! One weight per row (per joint action); log-probabilities in nats. Kept as a sum of logarithms, so that the order of
//! multiplication cannot matter and nothing overflows before it is read. Refuses other lengths and ratios that are not
//! finite, and then leaves M as it was.
//!
//! # References
//!
//! Kuba et al. 2021 (HAPPO), arXiv 2109.11251; Zhong et al. 2023 (HARL), arXiv 2304.09870.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::order::factor::Factor;
//! let mut m = Factor::new(1);
//! m.update(&[-1.0], &[-1.0 - 2_f64.ln()])?;
//! assert!((m.weights()[0] - 2.0).abs() < 1e-12);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use super::OrderError;
use crate::Result;

/// The compounded ratio, by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Factor {
    log: Vec<f64>,
    limit: Option<f64>,
}

impl Factor {
    /// M = 1 for `rows` rows, unbounded.
    pub fn new(rows: usize) -> Self {
        Self { log: vec![0.0; rows], limit: None }
    }

    /// Reads M within `[1 / limit, limit]`; the compounding itself stays exact. Refuses a limit below 1.
    pub fn with_limit(rows: usize, limit: f64) -> Result<Self> {
        if limit >= 1.0 && limit.is_finite() {
            Ok(Self { log: vec![0.0; rows], limit: Some(limit.ln()) })
        } else {
            Err(OrderError::NotFinite { what: "limit of M (at least 1)", index: 0, value: limit }.into())
        }
    }

    /// Compounds the ratio of the agent that was just updated; one log-probability of its action per row, after and
    /// before the update. A row in which it did not act has equal ones.
    pub fn update(&mut self, logp_new: &[f64], logp_old: &[f64]) -> Result<()> {
        let want = self.log.len();
        for (what, got) in [("new log-prob", logp_new.len()), ("old log-prob", logp_old.len())] {
            if got != want {
                return Err(OrderError::Length { what, got, want }.into());
            }
        }
        let ratios: Vec<f64> = logp_new.iter().zip(logp_old).map(|(new, old)| new - old).collect();
        if let Some(index) = ratios.iter().position(|ratio| !ratio.is_finite()) {
            return Err(OrderError::NotFinite { what: "log-ratio", index, value: ratios[index] }.into());
        }
        for (log, ratio) in self.log.iter_mut().zip(ratios) {
            *log += ratio;
        }
        Ok(())
    }

    /// The weights for the agent that is updated next.
    pub fn weights(&self) -> Vec<f64> {
        let bound = self.limit.unwrap_or(f64::INFINITY);
        self.log.iter().map(|log| log.clamp(-bound, bound).exp()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_update_leaves_m_alone() {
        let mut m = Factor::new(2);
        m.update(&[-1.0, -1.0], &[-1.5, -1.0]).unwrap();
        let before = m.clone();
        assert!(m.update(&[f64::NAN, 0.0], &[0.0, 0.0]).is_err());
        assert!(m.update(&[0.0], &[0.0]).is_err());
        assert_eq!(m, before);
    }

    #[test]
    fn a_limit_bounds_what_is_read_and_not_what_is_kept() {
        let mut m = Factor::with_limit(1, 2.0).unwrap();
        m.update(&[0.0], &[-10.0]).unwrap();
        assert!((m.weights()[0] - 2.0).abs() < 1e-12);
        m.update(&[-10.0], &[0.0]).unwrap();
        assert_eq!(m.weights(), [1.0]);
        assert!(Factor::with_limit(1, 0.5).is_err());
    }
}
