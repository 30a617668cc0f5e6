//! A person as a policy: shown the prompt, answering on the terminal, every answer recorded so that a run can be replayed
//! without the person.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

/// One exchange with a person, a line of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
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
    /// The record is over.
    #[error("the record holds {recorded} answers, and one more is asked of `{agent}`")]
    RecordOver {
        /// How many it holds.
        recorded: usize,
        /// The agent.
        agent: String,
    },
    /// The record tells another story.
    #[error("the record differs at answer {at}: it was given by `{recorded}` to {shown:?}, and `{agent}` is asked now")]
    RecordDiffers {
        /// Which answer, from 0.
        at: usize,
        /// Whom the record names.
        recorded: String,
        /// What the record says was shown.
        shown: String,
        /// Who is asked.
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

/// Asks on `output` and reads from `input`; an answer ends with an empty line or the end of the input. The exchange is
/// appended to `record`, and flushed before the answer is used.
///
/// # Errors
/// The terminal or the record fails, or the input ends before anything was answered.
pub fn ask(
    input: &mut impl BufRead,
    output: &mut impl Write,
    record: &mut impl Write,
    agent: &str,
    prompt: &str,
) -> Result<String, HumanError> {
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
    let exchange = Exchange { agent: agent.to_owned(), prompt: prompt.to_owned(), answer: lines.join("\n") };
    let mut line = serde_json::to_vec(&exchange).map_err(std::io::Error::from)?;
    line.push(b'\n');
    record.write_all(&line)?;
    record.flush()?;
    Ok(exchange.answer)
}

/// Answers from a record instead of a person.
#[derive(Debug, Clone)]
pub struct Replay {
    exchanges: Vec<Exchange>,
    next: usize,
}

impl Replay {
    /// Reads a record.
    ///
    /// # Errors
    /// A line that is no exchange.
    pub fn read(record: impl BufRead) -> Result<Self, HumanError> {
        let mut exchanges = vec![];
        for (at, line) in record.lines().enumerate() {
            let malformed =
                |error: serde_json::Error| HumanError::Malformed { line: at + 1, reason: error.to_string() };
            exchanges.push(serde_json::from_str(&line?).map_err(malformed)?);
        }
        Ok(Self { exchanges, next: 0 })
    }

    /// The recorded answer to the same question.
    ///
    /// # Errors
    /// The record is over, or the question is another one.
    pub fn answer(&mut self, agent: &str, prompt: &str) -> Result<&str, HumanError> {
        let at = self.next;
        let Some(exchange) = self.exchanges.get(at) else {
            return Err(HumanError::RecordOver { recorded: at, agent: agent.to_owned() });
        };
        if exchange.agent != agent || exchange.prompt != prompt {
            let (recorded, shown) = (exchange.agent.clone(), exchange.prompt.clone());
            return Err(HumanError::RecordDiffers { at, recorded, shown, agent: agent.to_owned() });
        }
        self.next += 1;
        Ok(&exchange.answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_answered_is_replayed() {
        let (mut shown, mut record) = (vec![], vec![]);
        let mut typed = "Tirana\nI think\n\nLek\n".as_bytes();
        let first = ask(&mut typed, &mut shown, &mut record, "keeper", "Capital?").unwrap();
        let second = ask(&mut typed, &mut shown, &mut record, "keeper", "Currency?").unwrap();
        assert_eq!((first.as_str(), second.as_str()), ("Tirana\nI think", "Lek"));
        assert!(String::from_utf8(shown).unwrap().contains("Capital?"));

        let mut replay = Replay::read(record.as_slice()).unwrap();
        assert_eq!(replay.answer("keeper", "Capital?").unwrap(), "Tirana\nI think");
        let differs = replay.answer("keeper", "Area?").unwrap_err();
        assert!(differs.to_string().contains("differs at answer 1"), "{differs}");
        assert_eq!(replay.answer("keeper", "Currency?").unwrap(), "Lek");
        assert!(matches!(replay.answer("keeper", "More?"), Err(HumanError::RecordOver { recorded: 2, .. })));
    }

    #[test]
    fn an_ended_input_is_an_error_and_records_nothing() {
        let (mut shown, mut record) = (vec![], vec![]);
        let error = ask(&mut "".as_bytes(), &mut shown, &mut record, "keeper", "?").unwrap_err();
        assert!(matches!(error, HumanError::EndOfInput { .. }));
        assert!(record.is_empty());
        assert!(matches!(Replay::read("{}\n".as_bytes()), Err(HumanError::Malformed { line: 1, .. })));
    }
}
