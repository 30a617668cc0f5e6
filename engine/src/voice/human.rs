//! A person's voice: one at a time, on a thread of its own, every answer recorded before it is used.

use std::collections::HashSet;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};
use marft_agents::policy::human::{self, HumanError, Replay};

use super::{Answer, Line, Prompt, Question, Taken, Ticket, Voice, VoiceFault, Words};

/// Questions that may wait for the person; more of them are faults.
const WAITING: usize = 1 << 16;

/// Asks a person, or a record of what a person said.
#[derive(Debug)]
pub struct Human {
    questions: Option<Sender<(Question, Sender<Answer>)>>,
    withdrawn: Arc<Mutex<HashSet<Ticket>>>,
    thread: Option<JoinHandle<()>>,
}

impl Human {
    /// Asks on `output`, reads from `input`, and appends every exchange to `record`.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(
        mut input: impl BufRead + Send + 'static,
        mut output: impl Write + Send + 'static,
        mut record: impl Write + Send + 'static,
    ) -> std::io::Result<Self> {
        Self::with(move |agent, shown| human::ask(&mut input, &mut output, &mut record, agent, shown))
    }

    /// Answers from a record; questions must come in the order in which they came then.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn replay(mut replay: Replay) -> std::io::Result<Self> {
        Self::with(move |agent, shown| replay.answer(agent, shown).map(str::to_owned))
    }

    fn with(ask: impl FnMut(&str, &str) -> Result<String, HumanError> + Send + 'static) -> std::io::Result<Self> {
        let (questions, asked) = bounded(WAITING);
        let withdrawn = Arc::new(Mutex::new(HashSet::new()));
        let gone = Arc::clone(&withdrawn);
        let thread =
            std::thread::Builder::new().name("marft-human".to_owned()).spawn(move || serve(&asked, &gone, ask))?;
        Ok(Self { questions: Some(questions), withdrawn, thread: Some(thread) })
    }
}

fn serve(
    asked: &Receiver<(Question, Sender<Answer>)>,
    withdrawn: &Mutex<HashSet<Ticket>>,
    mut ask: impl FnMut(&str, &str) -> Result<String, HumanError>,
) {
    for (question, answers) in asked {
        let ticket = question.ticket;
        if withdrawn.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket) {
            continue;
        }
        let outcome = ask(&question.agent, &shown(&question.prompt))
            .map(|text| Words { text, ..Words::default() })
            .map_err(|error| VoiceFault { message: error.to_string(), transient: false });
        // a world that is gone wants no answers
        drop(answers.send(Answer { ticket, outcome }));
    }
}

fn shown(prompt: &Prompt) -> String {
    match prompt {
        Prompt::Words(lines) => lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n\n"),
        Prompt::Tokens(ids) => format!("{ids:?}"),
    }
}

impl Voice for Human {
    fn ask(&self, question: Question, answers: &Sender<Answer>) -> Taken {
        let ticket = question.ticket;
        if let Some(questions) = &self.questions
            && questions.try_send((question, answers.clone())).is_ok()
        {
            let withdrawn = Arc::clone(&self.withdrawn);
            return Taken::Later(Box::new(move || {
                withdrawn.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket);
            }));
        }
        let message = "nobody is there to answer, or too many questions wait".to_owned();
        Taken::Now(Answer { ticket, outcome: Err(VoiceFault { message, transient: false }) })
    }

    fn open(&self, _lines: &[Line]) -> Option<Result<Vec<u32>, VoiceFault>> {
        None
    }

    fn follow_up(&self, _text: &str, _ended: bool) -> Result<Vec<u32>, VoiceFault> {
        Ok(vec![])
    }
}

impl Drop for Human {
    fn drop(&mut self) {
        // the thread ends with the question it is at; one that waits for a person is not waited for
        self.questions = None;
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            // a panic there has nobody left to tell
            drop(thread.join());
        }
    }
}
