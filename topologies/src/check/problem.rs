//! One problem of a file: what, where, and what to do about it.

use super::Code;
use crate::source::{Sources, Span};

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
    /// The word within the span that is meant; a report narrows the span to it.
    pub(super) word: Option<String>,
}

impl Problem {
    /// A problem without help.
    pub fn new(code: Code, message: impl Into<String>, span: Span) -> Self {
        Self { code, message: printable(&message.into()), span, help: None, word: None }
    }

    /// The same with help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(printable(&help.into()));
        self
    }

    /// The same, pointing at a word within its span, such as one name in a template.
    #[must_use]
    pub(super) fn at_word(mut self, word: &str) -> Self {
        self.word = Some(word.to_owned());
        self
    }

    /// Narrows the span to the word it is about, where that stands in the source as it is.
    pub(super) fn narrow(&mut self, sources: &Sources) {
        let Some(word) = self.word.take() else { return };
        let text = sources.text(self.span);
        let joins = |c: char| c.is_alphanumeric() || c == '_';
        let whole = |at: &usize| !text[..*at].ends_with(joins) && !text[at + word.len()..].starts_with(joins);
        if let Some(at) = text.match_indices(&word).map(|(at, _)| at).find(whole) {
            let start = self.span.start + at as u32;
            self.span = Span { start, end: start + word.len() as u32, ..self.span };
        }
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
