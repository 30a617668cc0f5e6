//! How things end: every episode with a reason, every silent node with a cause.

use serde::Serialize;

use crate::team::{BlockId, EdgeId, MemoryId, NodeId, Outcome};

use super::{Key, TurnId};

/// Why an episode, or one run of a block, ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndReason {
    /// All rounds were run.
    Rounds,
    /// The `until` condition held.
    Until,
    /// The router said that it is done.
    RouterDone,
    /// The router made one decision and does not speak again.
    Routed,
    /// The router made as many decisions as it may.
    MaxSteps,
    /// The router named no target.
    UnparseableRoute {
        /// Name of the router.
        router: String,
    },
    /// An output could not be read, and the team file says that this fails the episode.
    ParseFailure {
        /// Name of the agent.
        agent: String,
        /// What was wrong.
        message: String,
    },
    /// A budget ran out.
    BudgetExhausted {
        /// Name of the node, block or team it belongs to.
        of: String,
        /// Which limit.
        limit: Limit,
    },
    /// Something broke: counted apart, never a reward.
    Fault {
        /// Name of the agent or function whose turn it was.
        agent: String,
        /// What broke.
        message: String,
    },
    /// The engine stopped it.
    Cancelled,
}

impl EndReason {
    /// Whether the episode came to its own end, so that its answer may be rewarded.
    pub fn is_complete(&self) -> bool {
        !matches!(self, Self::Fault { .. } | Self::Cancelled)
    }
}

/// A counter that can run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Sampled tokens.
    Tokens,
    /// Calls of policies.
    Calls,
    /// Wall-clock seconds; only the engine knows them.
    Seconds,
    /// Money.
    Cost,
}

/// Why a node did not speak in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// Nothing was delivered to it.
    DeadPath,
    /// Fewer messages than its join asks for.
    Join,
    /// Its `when` condition was false.
    When,
    /// The router did not name it.
    NotNamed,
    /// Its list was empty or its plan invalid.
    NoItems,
    /// Its output could not be read, and the team file says to skip it then.
    Unread,
    /// A vote was tied, and ties abstain; or a function had no result.
    NoResult,
    /// A budget ran out.
    Budget,
}

/// What happened beside the turns themselves, in order.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A node stays silent this round.
    Skipped {
        /// The node.
        node: NodeId,
        /// Round of its block.
        round: u32,
        /// Why.
        why: Silence,
    },
    /// One run of an inner block ended.
    BlockEnded {
        /// The block.
        block: BlockId,
        /// Rounds it ran.
        rounds: u32,
        /// Why.
        reason: EndReason,
    },
    /// A record for a memory. Applied in order, before the next observation is asked for.
    Wrote {
        /// The memory.
        memory: MemoryId,
        /// Who wrote.
        by: NodeId,
        /// Where in the episode.
        key: Key,
        /// What.
        text: String,
    },
    /// A curator's decision about the record written last.
    Curated {
        /// The memory.
        memory: MemoryId,
        /// The curator's words.
        text: String,
        /// What was read out of them.
        fields: serde_json::Map<String, serde_json::Value>,
    },
    /// Turns that were out when their scope ended: answers to them are refused from now on.
    Withdrawn {
        /// The turns.
        turns: Vec<TurnId>,
    },
    /// A budget ran out and its declared outcome took its place.
    Exhausted {
        /// Name of the node, block or team.
        of: String,
        /// Which limit.
        limit: Limit,
        /// The outcome.
        outcome: Outcome,
    },
    /// A condition or expression had no value; conditions count as false.
    Unevaluated {
        /// The node it belongs to.
        node: NodeId,
        /// The edge, when it guards one.
        edge: Option<EdgeId>,
        /// What was wrong.
        message: String,
    },
    /// Items of a list beyond the declared maximum.
    Dropped {
        /// The node.
        node: NodeId,
        /// How many.
        items: usize,
    },
}
