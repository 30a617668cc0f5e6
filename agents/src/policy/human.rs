//! A person as a policy: shown the prompt, answering on the terminal, and answers recorded so that a run can be replayed
//! without the person.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

/// One exchange with a person, a line of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Where it was asked: tells questions apart that read alike.
    #[serde(default)]
    pub place: String,
    /// The agent the person spoke for.
    pub agent: String,
    /// What was shown.
    pub prompt: String,
    /// What was answered.
    pub answer: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HumanError {
    /// The terminal failed.
    #[error("asking a person failed: {0}")]
    Io(#[from] std::io::Error),
    /// The input ended.
    #[error("the input ended before `{agent}` answered")]
    EndOfInput {
        /// The agent.
        agent: String,
    },
    /// A line of the record is no exchange.
    #[error("line {line} of the record is no exchange: {reason}")]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

impl Exchange {
    /// Appends the exchange to `record` as a line, and flushes it.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn write(&self, record: &mut impl Write) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        record.write_all(&line)?;
        record.flush()
    }
}

/// Asks on `output` and reads from `input`; an answer ends with an empty line or the end of the input.
///
/// # Errors
/// The terminal fails, or the input ends before anything was answered.
pub fn ask(input: &mut impl BufRead, output: &mut impl Write, agent: &str, prompt: &str) -> Result<String, HumanError> {
    write!(output, "\n{prompt}\n\n{agent} (an empty line ends the answer)> ")?;
    output.flush()?;
    let mut lines: Vec<String> = vec![];
    loop {
        let mut line = String::new();
        let ended = input.read_line(&mut line)? == 0;
        let line = line.trim_end_matches(['\n', '\r']);
        if ended && lines.is_empty() && line.is_empty() {
            return Err(HumanError::EndOfInput { agent: agent.to_owned() });
        }
        if line.is_empty() {
            break;
        }
        lines.push(line.to_owned());
        if ended {
            break;
        }
    }
    Ok(lines.join("\n"))
}

/// What a record says was answered, to be taken instead of asking again.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// Answers to questions that read alike and were asked at one place stand in the order in which they were given.
    answers: HashMap<[String; 3], VecDeque<String>>,
}

impl Recorded {
    /// Reads a record.
    ///
    /// # Errors
    /// A line that is no exchange.
    pub fn read(record: impl BufRead) -> Result<Self, HumanError> {
        let mut answers: HashMap<[String; 3], VecDeque<String>> = HashMap::new();
        for (at, line) in record.lines().enumerate() {
            let malformed =
                |error: serde_json::Error| HumanError::Malformed { line: at + 1, reason: error.to_string() };
            let Exchange { place, agent, prompt, answer } = serde_json::from_str(&line?).map_err(malformed)?;
            answers.entry([place, agent, prompt]).or_default().push_back(answer);
        }
        Ok(Self { answers })
    }

    /// The recorded answer to the same question, which is then used up; `None` where there is none.
    pub fn take(&mut self, place: &str, agent: &str, prompt: &str) -> Option<String> {
        self.answers.get_mut(&[place, agent, prompt].map(str::to_owned))?.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_answered_is_taken_where_the_question_is_the_same() {
        let (mut shown, mut record) = (vec![], vec![]);
        let mut typed = "Tirana\nI think\n\nLek\n\nLeke\n".as_bytes();
        for (place, prompt) in [("1", "Capital?"), ("2", "Currency?"), ("2", "Currency?")] {
            let answer = ask(&mut typed, &mut shown, "keeper", prompt).unwrap();
            let exchange =
                Exchange { place: place.to_owned(), agent: "keeper".to_owned(), prompt: prompt.to_owned(), answer };
            exchange.write(&mut record).unwrap();
        }
        assert!(String::from_utf8(shown).unwrap().contains("Capital?"));

        let mut recorded = Recorded::read(record.as_slice()).unwrap();
        // the order of questions does not matter, but among those that are alike
        assert_eq!(recorded.take("2", "keeper", "Currency?").unwrap(), "Lek");
        assert_eq!(recorded.take("1", "keeper", "Capital?").unwrap(), "Tirana\nI think");
        assert_eq!(recorded.take("2", "keeper", "Currency?").unwrap(), "Leke");
        for (place, agent, prompt) in [
            ("2", "keeper", "Currency?"),
            ("3", "keeper", "Capital?"),
            ("1", "asker", "Capital?"),
            ("1", "keeper", "Area?"),
        ] {
            assert_eq!(recorded.take(place, agent, prompt), None);
        }
    }

    #[test]
    fn an_ended_input_and_a_damaged_record_are_errors() {
        let error = ask(&mut "".as_bytes(), &mut vec![], "keeper", "?").unwrap_err();
        assert!(matches!(error, HumanError::EndOfInput { .. }));
        assert!(matches!(Recorded::read("{}\n".as_bytes()), Err(HumanError::Malformed { line: 1, .. })));
    }
}
