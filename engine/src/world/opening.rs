//! How episodes open: what they start from, and where one branches off another.

use std::sync::Arc;

use crate::environment::Environment;
use crate::episode::EpisodeRecord;
use crate::seed::Seed;
use crate::task::Task;

/// What an episode starts from.
#[derive(Debug)]
pub struct Opening {
    /// The task.
    pub task: Arc<Task>,
    /// The world the team acts upon.
    pub environment: Box<dyn Environment>,
    /// Where its random numbers come from.
    pub seed: Seed,
    /// The training step it belongs to.
    pub step: u64,
    /// Which sample of its group it is.
    pub sample: u32,
    /// Samples at this temperature instead of the agents' own; 0 is greedy.
    pub temperature: Option<f64>,
    /// Repeats the beginning of another episode and goes on from there.
    pub fork: Option<Fork>,
}

impl Opening {
    /// Its environment, and the rest.
    pub(super) fn apart(self) -> (Beginning, Box<dyn Environment>) {
        let Self { task, environment, seed, step, sample, temperature, fork } = self;
        (Beginning { task, seed, step, sample, temperature, fork }, environment)
    }

    /// The first sample of a task in step 0, live from its first turn, each agent at its own temperature.
    pub fn new(task: Arc<Task>, environment: Box<dyn Environment>, seed: Seed) -> Self {
        Self { task, environment, seed, step: 0, sample: 0, temperature: None, fork: None }
    }
}

/// A branch of an episode: turns before a certain one are taken from its record, ids verbatim and asked of nobody; the
/// rest is live, but for agents that have others' words put into their mouths.
#[derive(Debug, Clone, PartialEq)]
pub struct Fork {
    /// The episode it branches off.
    pub record: Arc<EpisodeRecord>,
    /// Turns of the record before this one are repeated; what was sampled in them is not trained again.
    pub turn: usize,
    /// Who does not speak for itself from that turn on, by label.
    pub instead: Vec<(String, Instead)>,
}

/// What takes the place of an agent's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instead {
    /// Nothing: it says the empty text.
    Silent,
    /// These texts, by how often the agent was asked before in the episode; the last one again where they run out.
    Says(Vec<String>),
}

impl Instead {
    /// What is said the `turn`-th time.
    pub(super) fn text(&self, turn: usize) -> &str {
        match self {
            Self::Silent => "",
            Self::Says(texts) => texts.get(turn).or(texts.last()).map_or("", String::as_str),
        }
    }
}

/// What an episode starts from beside its environment.
#[derive(Clone)]
pub(super) struct Beginning {
    pub(super) task: Arc<Task>,
    pub(super) seed: Seed,
    pub(super) step: u64,
    pub(super) sample: u32,
    pub(super) temperature: Option<f64>,
    pub(super) fork: Option<Fork>,
}
