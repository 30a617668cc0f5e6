//! A scripted voice: answers from a function, at once. For control-flow tests and for measuring what the engine itself costs.

use std::fmt;

use crossbeam::channel::Sender;

use super::{Answer, Line, Prompt, Question, Taken, Voice, VoiceFault, Words};

/// What a script is.
type Script = dyn Fn(&Question) -> Result<Words, VoiceFault> + Send + Sync;

/// Answers with what a function says.
pub struct Scripted {
    script: Box<Script>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").finish_non_exhaustive()
    }
}

impl Scripted {
    /// A voice that says what `script` returns.
    pub fn new(script: impl Fn(&Question) -> Result<Words, VoiceFault> + Send + Sync + 'static) -> Self {
        Self { script: Box::new(script) }
    }

    /// A voice that answers with a text made of the last message it was shown.
    pub fn words(script: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::new(move |question| {
            let shown = match &question.prompt {
                Prompt::Words(lines) => lines.last().map_or("", |line| line.text.as_str()),
                Prompt::Tokens(_) => "",
            };
            Ok(Words { text: script(shown), ..Words::default() })
        })
    }
}

impl Voice for Scripted {
    fn ask(&self, question: Question, _answers: &Sender<Answer>) -> Taken {
        let outcome = (self.script)(&question);
        Taken::Now(Answer { ticket: question.ticket, outcome })
    }

    fn open(&self, _lines: &[Line]) -> Option<Result<Vec<u32>, VoiceFault>> {
        None
    }

    fn follow_up(&self, _text: &str, _ended: bool) -> Result<Vec<u32>, VoiceFault> {
        Ok(vec![])
    }
}
