//! Code: does the program that the text contains pass the tests of the task?

use std::hash::{BuildHasher as _, RandomState};

use serde::Deserialize;

use super::{Evidence, RewardFault, RewardTerm};
use crate::sandbox::{Interpreter, Limits};
use crate::settings::{Kind, KindError};

/// Stands in `proof` for a word that the program cannot know.
const WORD: &str = "{}";

/// The share of the gold column's tests that pass, each run behind the program in a sandbox of its own. A test passes when
/// the interpreter gets past it and ends with success: a program that leaves early, or takes too long, fails.
#[derive(Debug, Clone)]
pub struct Code {
    interpreter: Interpreter,
    proof: String,
}

/// As written in a run file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The interpreter, which reads the program from its standard input.
    #[serde(default = "Interpreter::python")]
    command: Vec<String>,
    /// The line behind the test that says it is reached: it writes `{}`.
    #[serde(default = "print")]
    proof: String,
    #[serde(default)]
    limits: Limits,
}

fn print() -> String {
    "print('{}')".to_owned()
}

impl Code {
    /// Reads the settings, and tries the sandbox out.
    ///
    /// # Errors
    /// Settings that make no sense, and a machine on which programs cannot be isolated.
    pub fn of(kind: &Kind) -> Result<Self, KindError> {
        let Settings { command, proof, limits } = kind.read()?;
        if !proof.contains(WORD) {
            return Err(KindError { key: Some("proof".to_owned()), ..KindError::new("it does not write `{}`") });
        }
        Ok(Self { interpreter: Interpreter::new(command, limits)?, proof })
    }
}

impl RewardTerm for Code {
    fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
        let Some(answer) = evidence.answer else { return Ok(0.0) };
        let program = program(answer);
        let mut passed = 0;
        for test in evidence.gold {
            let word = format!("{:016x}", RandomState::new().hash_one(test));
            let proof = self.proof.replace(WORD, &word);
            let ran = self.interpreter.run(&format!("{program}\n{test}\n{proof}\n"));
            let ran = ran.map_err(|fault| RewardFault::Custom(fault.to_string()))?;
            passed += usize::from(ran.success && ran.output.trim_end().ends_with(&word));
        }
        Ok(if evidence.gold.is_empty() { 0.0 } else { passed as f64 / evidence.gold.len() as f64 })
    }

    fn blocking(&self) -> bool {
        true
    }
}

/// The last fenced block of a text, or the text.
fn program(text: &str) -> &str {
    let mut fences = text.rsplit("```");
    match (fences.next(), fences.next(), fences.next()) {
        // the line of the opening fence names the language
        (Some(_), Some(block), Some(_)) => block.split_once('\n').map_or("", |(_, program)| program),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_block_is_the_program() {
        assert_eq!(program("Try:\n```python\nx = 1\n```\nor\n```\nx = 2\n```\nDone."), "x = 2\n");
        assert_eq!(program("x = 1"), "x = 1");
        assert_eq!(program("```python\nx = 1\n"), "```python\nx = 1\n", "an open fence is no block");
    }

    /// By the shell, which is everywhere.
    #[test]
    fn the_share_of_tests_that_pass() {
        let settings = json!({"command": ["sh"], "proof": "echo {}", "limits": {"seconds": 2.0}});
        let kind = Kind { kind: "code".to_owned(), settings: settings.as_object().unwrap().clone() };
        let code = match Code::of(&kind) {
            Ok(code) => code,
            Err(reason) => return eprintln!("not tested here: {reason}"),
        };
        let gold = ["set -e; [ $(twice 2) = 4 ]", "set -e; [ $(twice 5) = 10 ]"].map(str::to_owned);
        let score = |answer| code.score(&Evidence { answer, gold: &gold, tokens: 1 }).unwrap();
        assert_eq!(score(Some("```sh\ntwice() { echo $(($1 * 2)); }\n```")), 1.0);
        assert_eq!(score(Some("twice() { echo 4; }")), 0.5);
        assert_eq!(score(Some("while true; do true; done")), 0.0);
        assert_eq!(score(Some("exit 0")), 0.0, "a program that leaves early has passed nothing");
        assert_eq!(score(None), 0.0);
    }
}
