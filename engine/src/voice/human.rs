//! A person's voice: one question at a time, on a thread of its own, every answer recorded before it is used.

use std::collections::HashSet;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};
use marft_agents::policy::human::{self, HumanError};

use super::{Answer, Exchanges, Line, Prompt, Question, Taken, Ticket, Voice, VoiceFault, Words};

/// Questions that may wait for the person; more of them are faults.
const WAITING: usize = 1 << 16;

/// Asks a person what is not on record.
#[derive(Debug)]
pub struct Human {
    questions: Option<Sender<(Question, Sender<Answer>)>>,
    withdrawn: Arc<Mutex<HashSet<Ticket>>>,
    thread: Option<JoinHandle<()>>,
}

impl Human {
    /// Answers what `exchanges` hold from there. Anything else it asks on `output`, reads from `input`, and puts to them.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(
        mut input: impl BufRead + Send + 'static,
        mut output: impl Write + Send + 'static,
        exchanges: Arc<Exchanges>,
    ) -> std::io::Result<Self> {
        let ask = move |question: &Question, shown: &str| {
            if let Some(answer) = exchanges.take(question, shown) {
                return Ok(answer);
            }
            let answer = human::ask(&mut input, &mut output, &question.agent, shown)?;
            exchanges.note(question, shown, &answer)?;
            Ok(answer)
        };
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
    mut ask: impl FnMut(&Question, &str) -> Result<String, HumanError>,
) {
    for (question, answers) in asked {
        let ticket = question.ticket;
        if withdrawn.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket) {
            continue;
        }
        let outcome = ask(&question, &shown(&question.prompt))
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
