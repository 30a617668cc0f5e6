//! What people were asked in a run and what they answered: written down before an answer is used, and taken from there where
//! the same is asked again.
//!
//! A question is the same where it stands at the same place of the run and reads the same. So neither the order in which
//! episodes come to their questions nor a second episode that begins alike mixes answers up; and an answer is kept that no
//! episode's record holds, for the process was killed before the episode ended.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fs_err as fs;
use marft_agents::policy::human::{Exchange, HumanError, Recorded};

use super::Question;

/// The exchanges of a run; none are known or kept until it is said where they lie.
#[derive(Debug, Default)]
pub struct Exchanges(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    known: Recorded,
    /// Where new ones are appended.
    kept: Option<PathBuf>,
}

impl Exchanges {
    /// Takes answers from the record at `path`, if there is one, wherever the question is the same. What a killed process left
    /// of a last line is passed over.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is no exchange.
    pub fn recall(&self, path: &Path) -> Result<(), HumanError> {
        self.book().known = read(path)?.0;
        Ok(())
    }

    /// As [`recall`](Self::recall), and appends to the record whatever is asked and answered from now on.
    ///
    /// # Errors
    /// As of [`recall`](Self::recall); what is left of a last line cannot be cut off.
    pub fn keep(&self, path: &Path) -> Result<(), HumanError> {
        let (known, torn) = read(path)?;
        if let Some(whole) = torn {
            fs::File::options().write(true).open(path)?.set_len(whole)?;
        }
        *self.book() = Book { known, kept: Some(path.to_owned()) };
        Ok(())
    }

    /// The recorded answer to a question, which is used up by that.
    pub(super) fn take(&self, question: &Question, shown: &str) -> Option<String> {
        self.book().known.take(&place(question), &question.agent, shown)
    }

    /// Writes down what a question was answered.
    pub(super) fn note(&self, question: &Question, shown: &str, answer: &str) -> std::io::Result<()> {
        let Some(path) = self.book().kept.clone() else { return Ok(()) };
        let (agent, prompt) = (question.agent.to_string(), shown.to_owned());
        let exchange = Exchange { place: place(question), agent, prompt, answer: answer.to_owned() };
        exchange.write(&mut fs::File::options().create(true).append(true).open(path)?)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a question stands in the run. Evaluations of different steps draw the same seeds, so the step is part of it.
fn place(question: &Question) -> String {
    format!("{}-{:016x}", question.step, question.seed.request().request)
}

/// The exchanges at `path`, and up to where the file is whole if it does not end with a line.
fn read(path: &Path) -> Result<(Recorded, Option<u64>), HumanError> {
    let mut bytes = vec![];
    match fs::File::open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error.into()),
    };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok((Recorded::read(&bytes[..whole])?, (whole < bytes.len()).then_some(whole as u64)))
}
