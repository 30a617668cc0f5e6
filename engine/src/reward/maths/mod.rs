//! Maths answers: is what the text concludes the same value as the gold answer?
//!
//! Three steps, a file each: [`extract`] finds the final answer in the text, [`expression`] reads it as an exact number
//! where it is one, and this file compares. Finding is linear in the length of the text; what is found has a value only
//! within bounds of length and depth, and each of its bytes costs at most one operation. So the time of a judgement has a
//! hard limit that, unlike one on the clock, gives a replay the same answer on every machine.

pub mod expression;
pub mod extract;
mod latex;

use serde::Deserialize;
use serde::de::{Error as _, Unexpected};

use self::expression::{LONGEST, Number};
use super::{Evidence, RewardFault, RewardTerm, best_of};

/// 1 when the final answer of the text equals a gold answer.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MathsAnswer {
    /// Allowed distance between decimal numbers, as a share of the gold number.
    pub relative: f64,
    /// Whether `x` also equals `x/100` and `100x`. Off: 50 is not one half.
    pub percent: bool,
    /// Longest answer, in bytes, whose value is computed, at most half of [`LONGEST`]. A longer one is right only where it
    /// is spelled as the gold answer is.
    #[serde(deserialize_with = "length")]
    pub max_length: usize,
}

impl Default for MathsAnswer {
    fn default() -> Self {
        Self { relative: 1e-6, percent: false, max_length: 4_096 }
    }
}

/// A length that leaves room for longer spellings.
fn length<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    const MOST: usize = LONGEST / 2;
    let length = usize::deserialize(deserializer)?;
    if (1..=MOST).contains(&length) {
        return Ok(length);
    }
    let expected = format!("a length from 1 to {MOST}");
    Err(D::Error::invalid_value(Unexpected::Unsigned(length as u64), &expected.as_str()))
}

impl RewardTerm for MathsAnswer {
    fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
        best_of(evidence, |answer, gold| {
            let said = extract::final_answer(answer);
            let gold = extract::marked_answer(gold).unwrap_or(gold);
            Ok(f64::from(said.is_some_and(|said| self.equal(said, gold))))
        })
    }
}

impl MathsAnswer {
    /// Whether two answers mean the same: the same text once LaTeX is simplified, the same number, or tuples and lists
    /// that are equal element by element. What is longer than `max_length` has no other spelling.
    pub fn equal(&self, said: &str, gold: &str) -> bool {
        if said.len().max(gold.len()) > self.max_length {
            return said.trim() == gold.trim() && !gold.trim().is_empty();
        }
        let (said, gold) = (latex::simplify(said), latex::simplify(gold));
        if said == gold {
            return !gold.is_empty();
        }
        match (elements(&said), elements(&gold)) {
            (Some(said), Some(gold)) => {
                said.len() == gold.len() && said.iter().zip(&gold).all(|(said, gold)| self.same_value(said, gold))
            }
            (None, None) => self.same_value(&said, &gold),
            _ => false,
        }
    }

    fn same_value(&self, said: &str, gold: &str) -> bool {
        if said == gold {
            return !gold.is_empty();
        }
        let (Ok(said), Ok(gold)) = (expression::evaluate(said), expression::evaluate(gold)) else { return false };
        self.same_number(said, gold)
            || (self.percent && [100.0, 0.01].iter().any(|scale| self.close(said.to_f64() * scale, gold.to_f64())))
    }

    fn same_number(&self, said: Number, gold: Number) -> bool {
        match (said, gold) {
            (Number::Exact { .. }, Number::Exact { .. }) if said == gold => true,
            _ => self.close(said.to_f64(), gold.to_f64()),
        }
    }

    fn close(&self, said: f64, gold: f64) -> bool {
        (said - gold).abs() <= self.relative * gold.abs()
    }
}

/// The elements of `(a,b)`, `[a,b]` or `{a,b}`; `None` for anything else.
fn elements(text: &str) -> Option<Vec<&str>> {
    let inner = text.strip_prefix(['(', '[', '{'])?.strip_suffix([')', ']', '}'])?;
    let mut depth = 0_i32;
    let mut parts = vec![];
    let mut from = 0;
    for (at, c) in inner.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(inner[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
        if depth < 0 {
            return None;
        }
    }
    parts.push(inner[from..].trim());
    (parts.len() > 1).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(answer: &str, gold: &str) -> bool {
        let gold = [gold.to_owned()];
        let evidence = Evidence { answer: Some(answer), gold: &gold, tokens: 1 };
        MathsAnswer::default().score(&evidence).unwrap() == 1.0
    }

    #[test]
    fn same_values_in_other_spellings() {
        assert!(right(r"so \boxed{\frac{1}{2}}", "0.5"));
        assert!(right(r"\boxed{\dfrac12}", r"\frac{1}{2}"));
        assert!(right("The answer is 1,234.", "1234"));
        assert!(right("9 + 3 = <<9+3=12>>12\n#### 12", "x\n#### 12"));
        assert!(right(r"$\boxed{(3,\ \frac{\pi}{2})}$", r"(3,\pi/2)"));
        assert!(right(r"\boxed{2\sqrt{3}}", r"\sqrt{12}"));
        assert!(right(r"\boxed{x = 5}", "5"));
        assert!(right(r"\boxed{50\%}", r"50"));
        assert!(right(r"\boxed{\text{east}}", "east"));
        assert!(right(r"\boxed{10^{2}}", "100"));
    }

    #[test]
    fn other_values() {
        assert!(!right(r"\boxed{\frac{1}{3}}", "0.33"));
        assert!(!right(r"\boxed{(1,2)}", "(2,1)"));
        assert!(!right(r"\boxed{(1,2)}", "1"));
        assert!(!right("", "0"));
        assert!(!right(r"\boxed{}", "0"));
    }

    #[test]
    fn the_percent_trick_is_off_unless_asked_for() {
        assert!(!right(r"\boxed{50}", "0.5"));
        assert!(MathsAnswer { percent: true, ..MathsAnswer::default() }.equal("50", "0.5"));
    }

    /// The time of each is bounded: no clock decides, so the answer is the same on every machine.
    #[test]
    fn hostile_answers_are_wrong_at_once_and_harm_nothing() {
        let boxed = |inner: &str| format!(r"\boxed{{{inner}}}");
        let fibonacci = "7540113804746346429/4660046610375530309*4660046610375530309/7540113804746346429*";
        for (hostile, most) in [
            ("{", 100_000),
            ("(", 500_000),
            ("2^-", 333_000),
            (r"\sqrt-", 150_000),
            ("9^{9^{", 150_000),
            ("9", 1 << 20),
            ("9!", 1 << 19),
            ("1+", 1 << 19),
            ("-", 1 << 20),
            (r"\text{", 150_000),
            (fibonacci, 12_000),
        ] {
            for times in [4_000 / hostile.len(), most] {
                let text = hostile.repeat(times);
                let start = std::time::Instant::now();
                assert!(!right(&boxed(&format!("{text}1")), "7"), "{hostile} × {times}");
                assert!(!right(&text, "7"), "{hostile} × {times}");
                // generous: what is meant takes milliseconds, what is feared takes minutes or never ends
                assert!(start.elapsed().as_secs() < 10, "{hostile} × {times}: {:?}", start.elapsed());
            }
        }
    }

    #[test]
    fn a_long_answer_is_right_only_as_it_is_spelled() {
        let term = MathsAnswer { max_length: 4, ..MathsAnswer::default() };
        assert!(term.equal("2+2", "4") && !term.equal("2+2+1", "5") && term.equal(" 2+2+1 ", "2+2+1"));
        let zeros = format!("{}1", "0".repeat(5_000));
        assert!(!right(&zeros, "1") && right(&zeros, &zeros));
    }

    #[test]
    fn lengths_that_bound_nothing_are_refused() {
        let read = |length: u64| {
            let settings = serde_json::json!({ "max_length": length });
            let kind =
                crate::settings::Kind { kind: "maths".to_owned(), settings: settings.as_object().unwrap().clone() };
            kind.read::<MathsAnswer>()
        };
        assert_eq!(read(100).unwrap().max_length, 100);
        for length in [0, 16_385, u64::MAX] {
            let refused = read(length).unwrap_err();
            assert_eq!(refused.key.as_deref(), Some("max_length"));
            assert!(refused.message.contains("a length from 1 to 16384"), "{refused}");
        }
    }
}
