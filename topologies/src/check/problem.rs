//! One problem of a file: what, where, and what to do about it.

use super::Code;
use crate::source::Span;

/// One problem.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Its kind.
    pub code: Code,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// A problem without help.
    pub fn new(code: Code, message: impl Into<String>, span: Span) -> Self {
        Self { code, message: printable(&message.into()), span, help: None }
    }

    /// The same with help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(printable(&help.into()));
        self
    }
}

/// Most characters of one message.
const MAX_CHARS: usize = 400;

/// Names in messages come from the file: no control character of theirs may reach a terminal, and none may fill it.
fn printable(text: &str) -> String {
    let mut clean: String = text.chars().take(MAX_CHARS).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        clean.push('…');
    }
    clean
}
