//! Length shaping: a linear penalty for turns that come near their limit, as DAPO's soft overlong punishment has it.

use serde::Deserialize;

use super::{Evidence, RewardFault, RewardTerm};

/// 0 up to `max_tokens - buffer`, then linear down to `-1` at `max_tokens` and beyond.
///
/// Source: DAPO, arXiv 2503.14476, equation 13.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LengthShaping {
    /// Length, in tokens, from which the full penalty holds.
    pub max_tokens: usize,
    /// Width, in tokens, of the linear part.
    pub buffer: usize,
}

impl RewardTerm for LengthShaping {
    fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
        let free = self.max_tokens.saturating_sub(self.buffer);
        let over = evidence.tokens.saturating_sub(free);
        if over == 0 {
            return Ok(0.0);
        }
        Ok(-(over as f64 / self.buffer.max(1) as f64).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // DAPO's own constants: limit 20480, buffer 4096
    #[test]
    fn dapo_figures() {
        let shaping = LengthShaping { max_tokens: 20_480, buffer: 4_096 };
        let score = |tokens| shaping.score(&Evidence { answer: None, gold: &[], tokens }).unwrap();
        assert_eq!(score(16_384), 0.0);
        assert_eq!(score(18_432), -0.5);
        assert_eq!(score(20_480), -1.0);
        assert_eq!(score(30_000), -1.0);
    }

    #[test]
    fn no_buffer_is_a_step() {
        let shaping = LengthShaping { max_tokens: 10, buffer: 0 };
        let score = |tokens| shaping.score(&Evidence { answer: None, gold: &[], tokens }).unwrap();
        assert_eq!(score(10), 0.0);
        assert_eq!(score(11), -1.0);
    }
}
