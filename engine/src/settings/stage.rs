//! What a run does, in order.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A stage. Each starts its optimisers afresh, on the weights that the stage before left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Stage {
    /// Supervised fine-tuning on demonstrations.
    Sft(Sft),
    /// Reinforcement learning.
    Rl(Rl),
    /// Supervised fine-tuning on the team's own best episodes.
    Rft(Rft),
}

/// Supervised fine-tuning on demonstrations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sft {
    /// JSON lines `{"id": TASK, "says": {AGENT: TEXT or [TEXT, …]}}`. Rows of held-out tasks are refused.
    pub demonstrations: PathBuf,
    /// Use this many of them, drawn by the seed; all where absent.
    pub limit: Option<usize>,
    /// Passes over them.
    pub epochs: u32,
    /// Demonstrations an update.
    pub batch: usize,
    /// Learning rate.
    pub learning_rate: f64,
}

/// Reinforcement learning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rl {
    /// Rollouts, each followed by its updates.
    pub steps: u64,
    /// Labels of agents that do not learn in this stage.
    #[serde(default)]
    pub frozen: Vec<String>,
}

/// Filtered self-distillation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rft {
    /// Rollouts, each followed by its updates.
    pub steps: u64,
    /// Episodes a task.
    pub samples: u32,
    /// Least total reward of an episode that is learnt from.
    pub keep_above: f64,
    /// Most episodes kept a task, the best first.
    pub keep: u32,
    /// Passes over what is kept.
    pub epochs: u32,
    /// Learning rate.
    pub learning_rate: f64,
}

impl Stage {
    /// Its name in logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sft(_) => "sft",
            Self::Rl(_) => "rl",
            Self::Rft(_) => "rft",
        }
    }
}
