//! Environments: what the team acts upon. They show, they judge when it is over, and they may pay.

mod question;
mod registry;

use marft_topologies::turns::{Message, Task as Shown};

pub use question::QuestionAnswering;
pub use registry::EnvironmentRegistry;

use crate::seed::Seed;
use crate::task::Task;

/// What the team is shown at the start of a step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scene {
    /// What every agent sees that has no observation of its own.
    pub shared: Shown,
    /// Observations of single agents, by label.
    pub own: Vec<(String, Shown)>,
}

/// Where an episode stands after a step. Truncated is not done, and done is not won.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// It goes on with this scene.
    Open(Scene),
    /// The environment ended it.
    Done {
        /// Whether the goal was reached, where the environment knows one.
        won: Option<bool>,
    },
    /// A limit cut it off: the value of what might have followed is not 0.
    Truncated,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Where the episode stands.
    pub standing: Standing,
    /// Named reward terms of this step, paid to the team.
    pub rewards: Vec<(String, f64)>,
}

/// The environment broke: the episode is not trained on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("environment: {0}")]
pub struct EnvironmentFault(pub String);

/// A world for one episode.
pub trait Environment: Send + Sync + std::fmt::Debug {
    /// Starts over with a task. Everything random comes from `seed`.
    ///
    /// # Errors
    /// The task does not fit the environment, or the environment broke.
    fn reset(&mut self, task: &Task, seed: Seed) -> Result<Scene, EnvironmentFault>;

    /// Acts with what the team put out; `None` where it put out nothing.
    ///
    /// # Errors
    /// The environment broke.
    fn step(&mut self, output: Option<&Message>) -> Result<Outcome, EnvironmentFault>;

    /// Whether it waits on something: a child process, a server, a long computation. It then works on another thread, and
    /// holds up no episode but its own.
    fn blocking(&self) -> bool {
        false
    }
}
