//! # What it is
//! Labels for the steps of a solution without people: continue from each step several times and see what comes of it.
//!
//! # Objective (formula)
//! ```text
//! hard  y_t = 1 if any of the m continuations from step t is right, else 0
//! soft  y_t = right continuations / m
//! ```
//!
//! # When to use it, when not
//! Where answers can be verified and generation is cheap. Hard labels call a step good that was merely survivable; soft
//! ones need m of 8 or more to be worth the name.
//!
//! # Shapes, units, errors
//! Per step the outcomes of its continuations. A continuation that broke (a tool fault, a cut-off) is `None`: it is
//! left out of m, never counted as wrong. A step without a single usable continuation has no label.
//!
//! # References
//! Math-Shepherd, arXiv 2312.08935; OmegaPRM, arXiv 2406.06592.
//!
//! # Example
//! ```
//! use marft_algorithms::reward_model::{StepLabel, step_labels};
//! let outcomes = [[true, true, true, false, false, false, false, false].map(Some).to_vec()];
//! assert_eq!(step_labels(&outcomes, StepLabel::Soft), [Some(0.375)]);
//! assert_eq!(step_labels(&outcomes, StepLabel::Hard), [Some(1.0)]);
//! ```

use serde::Deserialize;

/// How outcomes become a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepLabel {
    /// Whether any continuation is right.
    Hard,
    /// The fraction that is right.
    #[default]
    Soft,
}

/// One label per step, `None` where nothing is known. See the [module documentation](self).
pub fn step_labels(outcomes: &[Vec<Option<bool>>], kind: StepLabel) -> Vec<Option<f64>> {
    outcomes
        .iter()
        .map(|continuations| {
            let usable = continuations.iter().flatten().count();
            let right = continuations.iter().flatten().filter(|right| **right).count();
            (usable > 0).then(|| match kind {
                StepLabel::Hard => f64::from(u8::from(right > 0)),
                StepLabel::Soft => right as f64 / usable as f64,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_not_a_wrong_answer() {
        let outcomes = [vec![Some(true), None, Some(false)], vec![None, None], vec![Some(false); 4], vec![]];
        assert_eq!(step_labels(&outcomes, StepLabel::Soft), [Some(0.5), None, Some(0.0), None]);
        assert_eq!(step_labels(&outcomes, StepLabel::Hard), [Some(1.0), None, Some(0.0), None]);
    }
}
