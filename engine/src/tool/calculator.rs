//! The calculator: the value of an arithmetic expression, exact as long as it can be.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Tool, ToolFuture, ToolRequest, argument};
use crate::reward::maths::expression::{Number, Refusal, evaluate};

/// Evaluates `expression`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calculator {}

impl Tool for Calculator {
    fn call(&self, request: ToolRequest) -> ToolFuture<'_> {
        Box::pin(async move { Ok(argument(&request, "expression").map_or_else(|told| told, calculate)) })
    }

    fn schema(&self) -> Option<Value> {
        Some(json!({
            "name": "calculator",
            "description": "Evaluates arithmetic: numbers, + - * / ^, brackets.",
            "parameters": {
                "type": "object",
                "properties": { "expression": { "type": "string" } },
                "required": ["expression"],
            },
        }))
    }
}

/// The value in words; what is wrong where there is none.
fn calculate(expression: &str) -> String {
    let plain: String = expression.chars().filter(|c| !c.is_whitespace() && *c != ',').collect();
    match evaluate(&braced(&plain.replace("**", "^").replace('×', "*").replace('÷', "/"))) {
        Ok(Number::Exact { over, under: 1 }) => over.to_string(),
        Ok(number) => number.to_f64().to_string(),
        Err(refusal @ Refusal::TooLong { .. }) => format!("the expression {refusal}"),
        Err(refusal) => format!("`{expression}` {refusal}"),
    }
}

/// Exponents of several digits in the braces that TeX wants.
fn braced(expression: &str) -> String {
    let mut parts = expression.split('^');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (exponent, rest) = part.split_at(digits);
        text += &if digits == 0 { format!("^{rest}") } else { format!("^{{{exponent}}}{rest}") };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_exact_as_long_as_they_can_be() {
        for (expression, value) in [
            ("6 * 7", "42"),
            ("1,000 + 1", "1001"),
            ("(1 + 2) / 4", "0.75"),
            ("2 ** 10", "1024"),
            ("x", "`x` is no arithmetic"),
        ] {
            assert_eq!(calculate(expression), value);
        }
        assert!(calculate(&"2^-".repeat(300_000)).starts_with("the expression has "));
        assert!(calculate(&"2^-".repeat(2_000)).ends_with("nests deeper than 32 levels"));
    }
}
