//! Format: 1 when the text has the asked form, given as a regular expression of the linear-time kind.

use regex::Regex;
use serde::Deserialize;

use super::{Evidence, RewardFault, RewardTerm};

/// 1 when the pattern matches.
#[derive(Debug, Clone)]
pub struct Format {
    pattern: Regex,
    once: Vec<String>,
}

/// What is typed for [`Format`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormatSpec {
    /// The regular expression; the whole text must match. `.` matches line ends too.
    pattern: String,
    /// Texts, tags mostly, that must not stand twice.
    #[serde(default)]
    once: Vec<String>,
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spec = FormatSpec::deserialize(deserializer)?;
        Self::new(&spec.pattern, spec.once).map_err(serde::de::Error::custom)
    }
}

impl Format {
    /// A term that asks for `pattern` over the whole trimmed text, with none of `once` standing twice.
    ///
    /// # Errors
    /// The pattern does not compile.
    pub fn new(pattern: &str, once: Vec<String>) -> Result<Self, regex::Error> {
        let pattern = regex::RegexBuilder::new(&format!("^(?:{pattern})$")).dot_matches_new_line(true).build()?;
        Ok(Self { pattern, once })
    }
}

impl RewardTerm for Format {
    fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
        let good = evidence.answer.is_some_and(|text| {
            self.pattern.is_match(text.trim()) && self.once.iter().all(|tag| text.matches(tag.as_str()).count() <= 1)
        });
        Ok(f64::from(good))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_must_match_and_tags_stand_once() {
        let once = vec!["<answer>".to_owned()];
        let format = Format::new(r"<think>.*?</think>\s*<answer>.*?</answer>", once).unwrap();
        let score = |text| format.score(&Evidence { answer: Some(text), gold: &[], tokens: 1 }).unwrap();
        assert_eq!(score("<think>a\nb</think>\n<answer>4</answer>"), 1.0);
        assert_eq!(score("so: <think>a</think><answer>4</answer>"), 0.0);
        assert_eq!(score("<think>a</think><answer>4</answer><answer>5</answer>"), 0.0);
    }
}
