//! Numeric answers: 1 when the last number of the text is the gold number within a tolerance.

use serde::Deserialize;

use super::{Evidence, RewardFault, RewardTerm, best_of};

/// Compares numbers, not their spelling.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Numeric {
    /// Allowed distance, absolute.
    pub absolute: f64,
    /// Allowed distance as a share of the gold number.
    pub relative: f64,
}

impl Default for Numeric {
    fn default() -> Self {
        Self { absolute: 1e-9, relative: 1e-4 }
    }
}

impl RewardTerm for Numeric {
    fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
        best_of(evidence, |answer, gold| {
            let gold_value = last_number(gold)
                .ok_or_else(|| RewardFault::BadGold { gold: gold.to_owned(), expected: "a number" })?;
            let close = |value: f64| (value - gold_value).abs() <= self.absolute.max(self.relative * gold_value.abs());
            Ok(f64::from(last_number(answer).is_some_and(close)))
        })
    }
}

/// The last number in a text: optional sign, digits with thousands separators, optional fraction and exponent.
pub(crate) fn last_number(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let mut end = bytes.len();
    while end > 0 {
        let last_digit = bytes[..end].iter().rposition(u8::is_ascii_digit)?;
        let start = number_start(bytes, last_digit);
        let spelled: String = text[start..=last_digit].chars().filter(|c| *c != ',' && *c != '_').collect();
        if let Ok(value) = spelled.parse::<f64>() {
            return value.is_finite().then_some(value);
        }
        end = start.min(last_digit);
    }
    None
}

/// Walks left from the last digit over everything that can belong to the number.
fn number_start(bytes: &[u8], last_digit: usize) -> usize {
    let mut start = last_digit;
    let (mut seen_point, mut seen_exponent) = (false, false);
    while start > 0 {
        let digit_before = start >= 2 && bytes[start - 2].is_ascii_digit();
        match bytes[start - 1] {
            b'0'..=b'9' => {}
            b',' | b'_' if digit_before => {}
            b'.' if !seen_point => seen_point = true,
            b'e' | b'E' if !seen_exponent && digit_before => (seen_exponent, seen_point) = (true, false),
            b'-' | b'+' if start >= 2 && matches!(bytes[start - 2], b'e' | b'E') => {}
            b'-' | b'+' => {
                // "5-3" subtracts; "= -3" is negative
                return if digit_before { start } else { start - 1 };
            }
            _ => break,
        }
        start -= 1;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_last_number() {
        assert_eq!(last_number("3 apples and 12 pears"), Some(12.0));
        assert_eq!(last_number("it costs $1,234.50."), Some(1234.5));
        assert_eq!(last_number("x = -3"), Some(-3.0));
        assert_eq!(last_number("5-3"), Some(3.0));
        assert_eq!(last_number("6.02e23"), Some(6.02e23));
        assert_eq!(last_number("1e-3"), Some(1e-3));
        assert_eq!(last_number(".5"), Some(0.5));
        assert_eq!(last_number("no digits"), None);
        assert_eq!(last_number(""), None);
    }

    #[test]
    fn tolerance_is_absolute_or_relative() {
        let gold = ["1000".to_owned()];
        let score = |answer| Numeric::default().score(&Evidence { answer: Some(answer), gold: &gold, tokens: 1 });
        assert_eq!(score("1000.09"), Ok(1.0));
        assert_eq!(score("1000.2"), Ok(0.0));
        assert_eq!(score("10"), Ok(0.0));
    }

    #[test]
    fn a_gold_that_is_no_number_is_a_fault() {
        let gold = ["many".to_owned()];
        let fault = Numeric::default().score(&Evidence { answer: Some("3"), gold: &gold, tokens: 1 }).unwrap_err();
        assert_eq!(fault, RewardFault::BadGold { gold: "many".to_owned(), expected: "a number" });
    }
}
