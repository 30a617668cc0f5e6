//! Agents: role, policy, what is shown to them, how they sample, and what of their words leaves them.

use serde_json::Value;

use super::{Constraint, MemoryId, Output, PolicyId};
use crate::source::Spanned;
use crate::spec::Context;
use crate::template::Template;

/// An agent.
#[derive(Debug, Clone)]
pub struct Agent {
    /// System text; a template unless it came from a profile file.
    pub role: Spanned<Template>,
    /// Template of the whole observation; `None` = the task followed by the messages in declared order.
    pub prompt: Option<Spanned<Template>>,
    /// Who answers.
    pub policy: PolicyId,
    /// How it samples.
    pub sampling: Sampling,
    /// Fields of its output, their privacy, and what a parse error leads to.
    pub output: Output,
    /// The form that its answers are held to while they are sampled.
    pub constraint: Option<Spanned<Constraint>>,
    /// Names of the tools it may call.
    pub tools: Vec<String>,
    /// Most tool calls in one turn; each costs one more call of the policy.
    pub max_tool_calls: u32,
    /// Memories it reads.
    pub reads: Vec<MemoryId>,
    /// Memories it writes.
    pub writes: Vec<MemoryId>,
    /// What it remembers of its own earlier turns.
    pub context: Context,
    /// Context window in tokens, when the file declares one.
    pub window: Option<u32>,
    /// Whether its sampled tokens are trained.
    pub trainable: bool,
    /// Whether its output is the one that rewards grade (`with_answer` in MARFT profiles).
    pub graded: bool,
    /// Optimiser overrides.
    pub optimizer: Option<Optimizer>,
    /// Device hint, passed on as written.
    pub device: Option<String>,
    /// Constants for its templates (a stance, a temperature of argument, …).
    pub vars: Vec<(String, Value)>,
}

/// How an agent samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f64,
    /// Nucleus mass in (0, 1].
    pub top_p: f64,
    /// Most tokens considered; 0 = all.
    pub top_k: u32,
    /// Least probability relative to the best token, in [0, 1].
    pub min_p: f64,
    /// Most tokens of one output, at least 1.
    pub max_tokens: u32,
    /// Texts that end the output.
    pub stop: Vec<String>,
    /// Token ids that end the output.
    pub stop_ids: Vec<u32>,
}

impl Default for Sampling {
    /// The policy's own distribution, 512 tokens at most.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            max_tokens: 512,
            stop: Vec::new(),
            stop_ids: Vec::new(),
        }
    }
}

/// Optimiser overrides; `None` = the run's value.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Optimizer {
    /// Learning rate.
    pub lr: Option<f64>,
    /// Decoupled weight decay.
    pub weight_decay: Option<f64>,
    /// Clip of the gradient norm.
    pub clip: Option<f64>,
}
