//! How a token is chosen from the logits, and when to stop choosing.
//!
//! The order of operations is fixed, since log-probabilities depend on it: repetition and presence penalties, suppressed ids and
//! ids that a constraint forbids, temperature, then min-p, top-k and top-p on the distribution that is left. It is the order of vLLM, so a number tuned
//! there means the same here.

use serde::{Deserialize, Serialize};

use super::request::GenerateError;
use crate::parse::Form;

/// Parameters of sampling; the default samples the model's own distribution, which is what policy gradients want.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Divides the logits; 0 decodes greedily (the lowest id wins a tie).
    pub temperature: f32,
    /// Keeps this many most probable tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps the smallest set of most probable tokens whose mass reaches this share, in (0, 1]; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this share as probable as the most probable one, in [0, 1]; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens in prompt or answer; 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted from the logits of tokens already in the answer; 0 is off.
    pub presence_penalty: f32,
    /// Ids that are never sampled.
    pub suppressed: Vec<u32>,
    /// The form that the answer must have: ids that cannot lead to it are never sampled, and it can end only where it is
    /// complete. An answer that is cut short, by a limit or a stop string, need not have it.
    pub constraint: Option<Form>,
    /// Strings whose appearance in the answer ends it.
    pub stop: Vec<String>,
    /// Ids that end the answer: the model's ends of turn and of text.
    pub stop_ids: Vec<u32>,
    /// Most tokens to sample. With 0 the prompt is only read into the cache.
    pub max_tokens: usize,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            suppressed: Vec::new(),
            constraint: None,
            stop: Vec::new(),
            stop_ids: Vec::new(),
            max_tokens: 256,
        }
    }
}

impl Sampling {
    /// Refuses parameters outside their range and ids outside a vocabulary of `vocabulary` tokens.
    pub fn check(&self, vocabulary: usize) -> Result<(), GenerateError> {
        let in_range = |parameter, value: f32, holds: bool, expected| {
            holds.then_some(()).ok_or_else(|| GenerateError::InvalidSampling {
                parameter,
                value: value.to_string(),
                expected,
            })
        };
        let t = self.temperature;
        in_range("temperature", t, t == 0.0 || (1e-3..=1e3).contains(&t), "0 (greedy) or between 0.001 and 1000")?;
        in_range("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "above 0 and at most 1")?;
        in_range("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "between 0 and 1")?;
        let r = self.repetition_penalty;
        in_range("repetition_penalty", r, (1e-2..=1e2).contains(&r), "between 0.01 and 100")?;
        let p = self.presence_penalty;
        in_range("presence_penalty", p, p.abs() <= 1e2, "between -100 and 100")?;
        if let Some(index) = self.stop.iter().position(String::is_empty) {
            let value = format!("empty at index {index}");
            return Err(GenerateError::InvalidSampling {
                parameter: "stop",
                value,
                expected: "strings that are not empty",
            });
        }
        if let Some(&id) = self.suppressed.iter().find(|&&id| id as usize >= vocabulary) {
            return Err(GenerateError::TokenOutOfRange { id, vocabulary });
        }
        let mut suppressed = self.suppressed.clone();
        suppressed.sort_unstable();
        suppressed.dedup();
        if suppressed.len() == vocabulary { Err(GenerateError::NothingToSample) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_is_the_models_own_distribution() {
        let Sampling { temperature, top_k, top_p, min_p, repetition_penalty, presence_penalty, .. } =
            Sampling::default();
        assert_eq!((temperature, top_k, top_p, min_p), (1.0, 0, 1.0, 0.0));
        assert_eq!((repetition_penalty, presence_penalty), (1.0, 0.0));
        assert!(Sampling::default().check(10).is_ok());
    }

    #[test]
    fn refuses_what_makes_no_distribution() {
        let bad = [
            Sampling { temperature: f32::NAN, ..Sampling::default() },
            Sampling { temperature: -1.0, ..Sampling::default() },
            Sampling { top_p: 0.0, ..Sampling::default() },
            Sampling { min_p: 1.5, ..Sampling::default() },
            Sampling { repetition_penalty: 0.0, ..Sampling::default() },
            Sampling { presence_penalty: f32::INFINITY, ..Sampling::default() },
            Sampling { stop: vec![String::new()], ..Sampling::default() },
            Sampling { suppressed: vec![4], ..Sampling::default() },
            Sampling { suppressed: vec![0, 1, 1, 2, 3], ..Sampling::default() },
        ];
        for sampling in bad {
            assert!(sampling.check(4).is_err(), "{sampling:?}");
        }
    }
}
