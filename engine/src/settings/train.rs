//! How the run goes: updates, rollouts, evaluation, saving, logs.

use marft_agents::train::Decay;
use serde::{Deserialize, Serialize};

/// Updates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSettings {
    /// Steps of the `rl` and `rft` stages that do not state their own.
    pub steps: u64,
    /// Decay of AdamW's first moment.
    pub beta1: f64,
    /// Decay of AdamW's second moment.
    pub beta2: f64,
    /// What the learning rate does after the warm-up.
    pub decay: Decay,
    /// Updates over which it rises from 0.
    pub warmup: u64,
    /// Most tokens of one training pass.
    pub batch_tokens: usize,
    /// Recompute each block on the way back instead of keeping its activations.
    pub checkpointing: bool,
    /// Updates in a row that may be dropped for numbers that are not finite before the run gives up.
    pub max_bad_updates: u32,
    /// When the run ends before its steps are done.
    pub budget: Budget,
    /// When the run ends for want of progress.
    pub early_stop: Option<EarlyStop>,
}

/// Limits of a run; the first that is reached ends it, after its last step is saved.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Steps of all stages together.
    pub steps: Option<u64>,
    /// Training episodes.
    pub episodes: Option<u64>,
    /// Tokens sampled in training.
    pub tokens: Option<u64>,
    /// Wall-clock seconds, those of earlier processes of the run included.
    pub seconds: Option<f64>,
}

/// Ends a run whose evaluations no longer improve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStop {
    /// Evaluations without a new best.
    pub patience: u32,
    /// How much better a best must be.
    pub min_delta: f64,
}

/// Rollouts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutSettings {
    /// Tasks a step; each is rolled out as often as the algorithm's group is large.
    pub tasks: usize,
    /// Most episodes open at a time.
    pub concurrency: usize,
    /// How often a question is asked again after a transient fault.
    pub retries: u32,
    /// Take the old log-probabilities from a pass of the trainer instead of from the sampler.
    pub recompute_logprobs: bool,
    /// What happens when a conversation outgrows the context.
    pub long_context: LongContext,
    /// Seconds that a turn may take.
    pub turn_seconds: Option<f64>,
}

/// What happens when a conversation outgrows the context. Nothing is ever cut in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LongContext {
    /// The turn is a fault.
    #[default]
    Refuse,
    /// The oldest turns are left out whole, in a new segment.
    TruncateOldest,
    /// The agent sums its earlier turns up first, in a new segment.
    Summarise,
}

/// Evaluation on held-out tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalSettings {
    /// Steps between two evaluations; 0 evaluates at the end alone.
    pub every: u64,
    /// Also before the first step: the untrained team, with which later ones are paired.
    pub before: bool,
    /// Most held-out tasks, the same ones every time, drawn by the seed.
    pub tasks: Option<usize>,
    /// Episodes a task.
    pub samples: u32,
    /// Temperature of all agents; 0 is greedy, absent is the team's own.
    pub temperature: Option<f64>,
    /// The column by which intervals are clustered; the task where absent.
    pub cluster: Option<String>,
    /// The reward term that is the score; the total where absent.
    pub metric: Option<String>,
}

/// When the run is saved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointSettings {
    /// Steps between two checkpoints; the last step is always saved.
    pub every: u64,
    /// How many are kept, the newest and the best apart; 0 keeps all.
    pub keep: usize,
}

/// What is written down.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// Keep the episodes.
    pub episodes: bool,
    /// Write TensorBoard event files.
    pub tensorboard: bool,
}
