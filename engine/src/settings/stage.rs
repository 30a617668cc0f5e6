//! What a run does, in order.

use std::path::PathBuf;

use marft_algorithms::supervised::ErrorMask;
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
    /// What of answers that failed is not learnt; all is learnt where absent.
    #[serde(default)]
    pub errors: Option<ErrorRule>,
    /// Learning rate.
    pub learning_rate: f64,
}

/// Which demonstrated answers failed, and how much of them is not learnt: they stay in sight of what mends them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorRule {
    /// A regular expression: the answer before a result or an observation that it matches somewhere failed.
    pub pattern: String,
    /// How much of such an answer is left out.
    pub mask: ErrorMask,
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

impl Sft {
    /// How many steps it takes where the file holds `demonstrations`.
    pub fn steps(&self, demonstrations: usize) -> u64 {
        let used = self.limit.map_or(demonstrations, |limit| limit.min(demonstrations));
        (used.div_ceil(self.batch.max(1)) as u64).saturating_mul(u64::from(self.epochs))
    }
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
