//! Voices: who answers when an agent is asked. The world asks every voice the same way and does not know what is behind it.

mod demonstrator;
mod device;
mod exchanges;
mod human;
mod messages;
mod prompts;
mod remote;
mod scripted;

use std::sync::Arc;

use crossbeam::channel::Sender;
use marft_agents::generate::FinishReason;
use marft_agents::parse::Form;
use marft_topologies::team::Sampling;
use serde_json::Value;

pub use demonstrator::{Demonstrator, Sayings};
pub use device::{DeviceVoice, Forwarder};
pub use exchanges::Exchanges;
pub use human::Human;
pub use prompts::Prompts;
pub use remote::Remote;
pub use scripted::Scripted;

use crate::seed::Seed;
use crate::task::Task;

/// Names a question among those under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What an agent is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// To be handed back with the answer.
    pub ticket: Ticket,
    /// The agent's label.
    pub agent: Arc<str>,
    /// What it is shown.
    pub prompt: Prompt,
    /// How it samples.
    pub sampling: Sampling,
    /// The form that the answer is held to, where it is sampled.
    pub form: Option<Arc<Form>>,
    /// Tools to declare to its server, as the chat protocol does; none where its role describes them.
    pub tools: Arc<[Value]>,
    /// Where its random numbers come from.
    pub seed: Seed,
    /// The training step of the episode.
    pub step: u64,
    /// The episode's task. Voices that stand for a policy must not look at it; demonstrations and scripts may.
    pub task: Arc<Task>,
    /// How many turns the agent was asked for in this episode before, and how often it was asked in this one: a turn goes on
    /// after the results of tools.
    pub turn: usize,
}

/// What an agent is shown, in the form its voice takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// Token ids, the whole context verbatim.
    Tokens(Vec<u32>),
    /// Messages, oldest first.
    Words(Vec<Line>),
}

/// One message of a conversation in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `system`, `user` or `assistant`.
    pub role: &'static str,
    /// What it says.
    pub text: String,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Which question.
    pub ticket: Ticket,
    /// The words, or why there are none.
    pub outcome: Result<Words, VoiceFault>,
}

/// What a voice said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Words {
    /// Decoded text, without special tokens.
    pub text: String,
    /// Sampled ids, verbatim; empty for voices without tokens.
    pub ids: Vec<u32>,
    /// Log-probability of each id under the distribution it was drawn from; of an answer that was held to a form, under the
    /// policy's own at temperature 1, as if nothing had held it.
    pub logprobs: Vec<f32>,
    /// Sum of the entropies, in nats, of the distributions the ids were drawn from, at temperature 1.
    pub entropy: f64,
    /// Why it ended.
    pub finish: Option<FinishReason>,
    /// How many updates the policy had seen.
    pub version: u64,
    /// Prompt tokens that came out of the prefix cache.
    pub cached: usize,
    /// Tokens that were sampled, as a server counts them that does not name them.
    pub usage: Option<u32>,
}

/// Why a voice gave no answer: never a reward of 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct VoiceFault {
    /// What happened.
    pub message: String,
    /// Whether asking again may help.
    pub transient: bool,
}

/// How a question was taken.
pub enum Taken {
    /// The answer is there.
    Now(Answer),
    /// The answer will come; what is here withdraws the question.
    Later(Box<dyn FnOnce() + Send + Sync>),
}

impl std::fmt::Debug for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Now(answer) => f.debug_tuple("Now").field(answer).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// Something that answers.
pub trait Voice: Send + Sync + std::fmt::Debug {
    /// Takes a question. An answer that does not exist yet is sent to `answers` later, from any thread, exactly once; when
    /// the question is withdrawn, at most once.
    fn ask(&self, question: Question, answers: &Sender<Answer>) -> Taken;

    /// Turns messages into the tokens of a fresh context; `None` for voices that take words.
    ///
    /// # Errors
    /// The template refuses the messages.
    fn open(&self, lines: &[Line]) -> Option<Result<Vec<u32>, VoiceFault>>;

    /// The tokens that go between what the agent said last and its next words, when it is shown `text`. `ended` says that it
    /// ended its turn itself, so that the end of turn stands in the context already.
    ///
    /// # Errors
    /// The template refuses the messages.
    fn follow_up(&self, text: &str, ended: bool) -> Result<Vec<u32>, VoiceFault>;

    /// The longest context in tokens, prompt and answer together; `None` where the voice knows none, or takes words.
    fn window(&self) -> Option<usize> {
        None
    }

    /// The bytes that a sampled token stands for in the text of an answer, none for special tokens; `None` for voices that
    /// take words.
    fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        let _ = id;
        None
    }
}
