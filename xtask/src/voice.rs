//! How the chores speak: one line a step on stderr, and an error as one line with a `hint:` below it.

use std::fmt::{self, Display, Formatter};
use std::io::Write as _;

/// An error message together with what can be done about it.
#[derive(Debug)]
pub(crate) struct Hinted {
    message: String,
    hint: String,
}

impl Hinted {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl Display for Hinted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Hinted {}

/// Says one line.
pub(crate) fn say(line: impl Display) {
    // A chore goes on when nobody listens any more.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says why a chore failed.
pub(crate) fn error(error: &anyhow::Error) {
    say(shown(error));
}

/// The lines of [`error()`].
pub(crate) fn shown(error: &anyhow::Error) -> String {
    let hint = error.downcast_ref::<Hinted>().map(|hinted| format!("\nhint: {}", hinted.hint));
    format!("error: {error:#}{}", hint.unwrap_or_default())
}
