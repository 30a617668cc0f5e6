//! A demonstrator: says what a demonstration says, in the tokens that the policy itself would have to sample. An episode
//! with demonstrators is rendered by the same world as any other, so supervised training sees exactly the prompts that
//! rollouts see.

use std::collections::HashMap;
use std::sync::Arc;

use crossbeam::channel::Sender;
use marft_agents::generate::FinishReason;

use super::prompts::Prompts;
use super::{Answer, Line, Question, Taken, Voice, VoiceFault, Words};

/// What every agent says, by task id and agent label, in the order of its turns.
pub type Sayings = HashMap<(String, String), Vec<String>>;

/// Speaks for the agents of one team policy.
#[derive(Debug)]
pub struct Demonstrator {
    sayings: Arc<Sayings>,
    prompts: Prompts,
}

impl Demonstrator {
    /// A voice that says `sayings` in the tokens of `prompts`.
    pub fn new(sayings: Arc<Sayings>, prompts: Prompts) -> Self {
        Self { sayings, prompts }
    }

    fn say(&self, question: &Question) -> Result<Words, VoiceFault> {
        let (task, agent) = (&question.task.id, &*question.agent);
        let said = self.sayings.get(&(task.clone(), agent.to_owned())).and_then(|turns| turns.get(question.turn));
        let text = said.ok_or_else(|| VoiceFault {
            message: format!("the demonstration of task `{task}` has no turn {} of agent `{agent}`", question.turn),
            transient: false,
        })?;
        let ids = self.prompts.answer(text)?;
        let finish = ids.last().map(|end| FinishReason::StopId(*end));
        Ok(Words { text: text.clone(), logprobs: vec![0.0; ids.len()], ids, finish, ..Words::default() })
    }
}

impl Voice for Demonstrator {
    fn ask(&self, question: Question, _answers: &Sender<Answer>) -> Taken {
        Taken::Now(Answer { ticket: question.ticket, outcome: self.say(&question) })
    }

    fn open(&self, lines: &[Line]) -> Option<Result<Vec<u32>, VoiceFault>> {
        Some(self.prompts.open(lines))
    }

    fn follow_up(&self, text: &str, ended: bool) -> Result<Vec<u32>, VoiceFault> {
        self.prompts.follow_up(text, ended)
    }
}
