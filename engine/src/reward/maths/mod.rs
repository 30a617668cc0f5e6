//! Maths answers: is what the text concludes the same value as the gold answer?
//!
//! Three steps, a file each: [`extract`] finds the final answer in the text, [`expression`] reads it as an exact number
//! where it is one, and this file compares. Everything is linear in the length of the text, which is bounded, and the
//! whole judgement stands under a time limit.

pub mod expression;
pub mod extract;
mod latex;

use std::time::{Duration, Instant};

use serde::Deserialize;

use self::expression::Number;
use super::{Evidence, RewardFault, RewardTerm, best_of};

/// 1 when the final answer of the text equals a gold answer.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MathsAnswer {
    /// Allowed distance between decimal numbers, as a share of the gold number.
    pub relative: f64,
    /// Whether `x` also equals `x/100` and `100x`. Off: 50 is not one half.
    pub percent: bool,
    /// Hard limit of one judgement, in milliseconds.
    pub limit_ms: u64,
}

impl Default for MathsAnswer {
    fn default() -> Self {
        Self { relative: 1e-6, percent: false, limit_ms: 200 }
    }
}

impl RewardTerm for MathsAnswer {
    fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
        let start = Instant::now();
        let limit = Duration::from_millis(self.limit_ms);
        best_of(evidence, |answer, gold| {
            if start.elapsed() > limit {
                return Err(RewardFault::TimedOut { limit_ms: self.limit_ms });
            }
            let said = extract::final_answer(answer);
            let gold = extract::marked_answer(gold).unwrap_or(gold);
            Ok(f64::from(said.is_some_and(|said| self.equal(said, gold))))
        })
    }
}

impl MathsAnswer {
    /// Whether two answers mean the same: the same text once LaTeX is simplified, the same number, or tuples and lists
    /// that are equal element by element.
    pub fn equal(&self, said: &str, gold: &str) -> bool {
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
        let (Some(said), Some(gold)) = (expression::evaluate(said), expression::evaluate(gold)) else { return false };
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

    #[test]
    fn a_spent_limit_is_a_fault_and_not_a_wrong_answer() {
        let gold = ["1".to_owned(), "2".to_owned()];
        let term = MathsAnswer { limit_ms: 0, ..MathsAnswer::default() };
        std::thread::sleep(Duration::from_millis(1));
        let long = "1+".repeat(200_000);
        let evidence = Evidence { answer: Some(&long), gold: &gold, tokens: 1 };
        assert_eq!(term.score(&evidence), Err(RewardFault::TimedOut { limit_ms: 0 }));
    }

    #[test]
    fn nested_braces_do_not_overflow_the_stack() {
        assert!(!right(&format!(r"\boxed{{{}", "{".repeat(100_000)), "1"));
        assert!(!right(&format!(r"\boxed{{{}1{}}}", "(".repeat(50_000), ")".repeat(50_000)), "2"));
    }
}
