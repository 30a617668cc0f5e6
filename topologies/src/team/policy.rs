//! Policies: what actually answers when an agent is asked. Two agents naming one policy share its weights.

use crate::source::Spanned;

/// One policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its name; the adapter's name for local policies.
    pub name: String,
    /// What it is.
    pub kind: PolicyKind,
}

/// The kinds of policy.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyKind {
    /// A LoRA adapter on a base model in this process.
    Local {
        /// Base model, when it differs from the run's.
        base: Option<String>,
        /// Folder of an adapter to start from.
        adapter: Option<String>,
    },
    /// An OpenAI-compatible endpoint.
    Remote {
        /// Model name to ask for.
        model: String,
        /// Base URL.
        url: String,
        /// Environment variable that holds the key.
        key_env: Option<String>,
        /// Whether the log-probability of every token is asked for.
        logprobs: bool,
        /// Whether answers are read as streams.
        stream: bool,
        /// Whether tools are declared to the server; in their agents' roles otherwise.
        native_tools: Spanned<bool>,
    },
    /// A person at the terminal or in the browser.
    Human,
    /// Fixed replies, taken in turn and starting over at the end.
    Scripted {
        /// The replies, at least one.
        replies: Vec<String>,
    },
}

impl PolicyKind {
    /// Whether its weights are in this process and can be trained.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Local { .. })
    }
}
