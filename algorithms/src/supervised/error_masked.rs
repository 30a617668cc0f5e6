//! # What it is
//! Error-masked SFT: failing tool calls stay in the context, so that recovery can be learnt, but carry no loss.
//!
//! # Objective (formula)
//! ```text
//! L = - Σ_i m_i log π(x_i | x_<i) / Σ_i m_i
//! m_i = 1  iff  token i belongs to a trained turn whose tool result is not an error
//! ```
//!
//! # When to use it, when not
//! With demonstrations that contain failed calls. A published practice keeps the failed turns in the loss; `scope =
//! "off"` is that choice. With `scope = "action"` the thought before the failing call stays in the loss and only the
//! call is masked.
//!
//! # Shapes, units, errors
//! Turns in order, with their tokens; the result is the mask of [`sft`](fn@super::sft), one entry per token. A
//! trajectory whose turns are all masked contributes neither to the sum nor to the divisor.
//!
//! # References
//! KAT-Coder technical report, arXiv 2510.18779 ("error-masked SFT").
//!
//! # Example
//! ```
//! use marft_algorithms::supervised::{ErrorMask, TurnSpan, error_mask};
//! let failed = TurnSpan { tokens: 2, thought: 0, trained: true, failed: true };
//! let observation = TurnSpan { tokens: 1, trained: false, ..failed };
//! let repaired = TurnSpan { tokens: 2, failed: false, ..failed };
//! let mask = error_mask(&[failed, observation, repaired], ErrorMask::Turn)?;
//! assert_eq!(mask, [false, false, false, true, true]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use crate::loss::within;

/// What of a failing turn is left out of the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorMask {
    /// The whole turn.
    #[default]
    Turn,
    /// The call; the thought before it stays.
    Action,
    /// Nothing.
    Off,
}

/// One turn of a demonstration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnSpan {
    /// Tokens of the turn.
    pub tokens: usize,
    /// How many of them, from the start, are thought rather than action.
    pub thought: usize,
    /// Whether the turn was written by the agent in training; prompts and observations were not.
    pub trained: bool,
    /// Whether the tool result that followed is an error.
    pub failed: bool,
}

/// The mask of a trajectory, one entry per token. See the [module documentation](self).
pub fn error_mask(turns: &[TurnSpan], scope: ErrorMask) -> crate::Result<Vec<bool>> {
    let mut mask = Vec::with_capacity(turns.iter().map(|turn| turn.tokens).sum());
    for turn in turns {
        let thought = turn.thought;
        within("thought", thought as f64, thought <= turn.tokens, "[0, tokens]", "the thought is a part of its turn")?;
        let end = mask.len() + turn.tokens;
        let silent = turn.failed && scope != ErrorMask::Off;
        let kept_thought = !silent || scope == ErrorMask::Action;
        mask.resize(mask.len() + thought, turn.trained && kept_thought);
        mask.resize(end, turn.trained && !silent);
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};
    use crate::supervised::{SftWeights, sft};

    const TURNS: [TurnSpan; 4] = [
        TurnSpan { tokens: 1, thought: 0, trained: false, failed: false },
        TurnSpan { tokens: 3, thought: 1, trained: true, failed: true },
        TurnSpan { tokens: 1, thought: 0, trained: false, failed: false },
        TurnSpan { tokens: 2, thought: 1, trained: true, failed: false },
    ];

    #[test]
    fn each_scope_masks_what_it_says() {
        let bits = |scope| error_mask(&TURNS, scope).unwrap().iter().map(|&m| u8::from(m)).collect::<Vec<_>>();
        assert_eq!(bits(ErrorMask::Turn), [0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(bits(ErrorMask::Action), [0, 1, 0, 0, 0, 1, 1]);
        assert_eq!(bits(ErrorMask::Off), [0, 1, 1, 1, 0, 1, 1]);
    }

    /// A log of five turns, each a thought, a call of two tokens, and a result that is not trained; the second and the
    /// fourth call fail.
    #[test]
    fn five_turns_with_two_failures() {
        let turns: Vec<TurnSpan> = [false, true, false, true, false]
            .into_iter()
            .flat_map(|failed| {
                let turn = TurnSpan { tokens: 3, thought: 1, trained: true, failed };
                [turn, TurnSpan { tokens: 1, thought: 0, trained: false, failed }]
            })
            .collect();
        let bits = |scope| -> String {
            error_mask(&turns, scope).unwrap().iter().map(|&kept| if kept { '1' } else { '.' }).collect()
        };
        assert_eq!(bits(ErrorMask::Turn), "111.....111.....111.");
        assert_eq!(bits(ErrorMask::Action), "111.1...111.1...111.");
        assert_eq!(bits(ErrorMask::Off), "111.111.111.111.111.");
    }

    /// By hand: the mean over the two tokens of the corrective turn; a trajectory that only failed adds nothing.
    #[test]
    fn a_trajectory_that_only_failed_is_not_averaged_in() {
        let mut mask = error_mask(&TURNS, ErrorMask::Turn).unwrap();
        mask.extend(error_mask(&TURNS[..2], ErrorMask::Turn).unwrap());
        let logp = variable(&[-9.0, -9.0, -9.0, -9.0, -9.0, -1.0, -2.0, -9.0, -9.0, -9.0, -9.0]);
        let out = sft::<f64>(&logp, &mask, &SftWeights::default()).unwrap();
        assert_close(&[out.value], &[1.5], 1e-12);
        let slope = gradient(&out.loss, &logp);
        assert_eq!(slope.iter().filter(|g| **g != 0.0).count(), 2);
        assert_close(&slope[5..7], &[-0.5, -0.5], 1e-12);
    }

    #[test]
    fn a_thought_longer_than_its_turn_is_refused() {
        let turn = TurnSpan { tokens: 1, thought: 2, trained: true, failed: false };
        assert!(error_mask(&[turn], ErrorMask::Turn).is_err());
    }
}
