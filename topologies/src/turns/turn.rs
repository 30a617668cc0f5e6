//! Turns: one agent asked once, or one call of a tool.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Key;
use super::frame::{FrameId, Place};
use super::message::Heard;
use crate::spec::Context;
use crate::team::{NodeId, Sampling};

/// A turn of one episode. Handles are given out in the order in which turns come up, so they depend on the schedule;
/// a turn's [`Key`] does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TurnId(pub u32);

/// A turn that may be taken now.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Its handle.
    pub id: TurnId,
    /// Where in the episode it is.
    pub key: Key,
    /// The agent whose turn it is; for tool calls, the function.
    pub node: NodeId,
    /// The node it speaks for: the agent itself, or the function (or writer) that employs it.
    pub of: NodeId,
    /// Step of the environment, from 0.
    pub step: u32,
    /// Round of the block around `of`, from 0.
    pub round: u32,
    /// Which replica of the agent, from 0.
    pub replica: u32,
    /// Which item, under a map.
    pub item: Option<u32>,
    /// 0, or how often its output could not be read before.
    pub attempt: u32,
    /// What is asked for.
    pub ask: Ask,
}

/// What a turn asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Words of an agent.
    Words {
        /// How to sample: the agent's own, changed by a spawning item and clipped by budgets.
        sampling: Sampling,
        /// Most tool calls.
        max_tool_calls: u32,
        /// What it carries from its earlier turns.
        context: Context,
    },
    /// The result of a tool. The arguments are in the observation.
    Tool {
        /// The tool.
        tool: String,
    },
}

/// What an agent is shown: o~ = own observation fused with what was delivered along D.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    /// Its role.
    pub system: String,
    /// What is new to it; appended to its conversation when it continues one.
    pub user: String,
    /// The turn whose conversation it continues: its words and all before them are already there.
    pub continues: Option<TurnId>,
    /// Rendered arguments, for a tool call.
    pub arguments: Vec<(String, String)>,
}

/// Why an observation could not be made. Hand it to [`Turns::failed`](super::Turns::failed).
#[derive(Debug, Clone, thiserror::Error)]
#[error("observation of `{node}`: {message}")]
pub struct ObservationError {
    /// Name of the agent.
    pub node: String,
    /// What went wrong.
    pub message: String,
}

/// Something that broke while a turn was taken. A fault is not a reward: it is counted apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

/// A turn was answered that is not out: answered before, withdrawn, or of another episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("turn {} is not out: it was answered before, was withdrawn, or belongs to another episode", .0.0)]
pub struct NotOut(pub TurnId);

/// A turn as the machine keeps it.
#[derive(Debug, Clone)]
pub(super) struct TurnState {
    pub(super) turn: Turn,
    pub(super) place: Place,
    pub(super) status: Status,
    pub(super) heard: Arc<[Heard]>,
    /// For employed agents: what they are asked, and names for their templates.
    pub(super) brief: Option<Arc<Brief>>,
    /// What it carries on from.
    pub(super) continues: Option<TurnId>,
    /// Why the attempt before could not be read.
    pub(super) complaint: Option<String>,
    /// Budgets it counts against, and what is reserved for it there.
    pub(super) gates: Vec<super::budget::Gate>,
    pub(super) reserved: super::budget::Spent,
}

/// Where a turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// May be taken; not handed out yet.
    Ready,
    /// Waits for a budget.
    Held,
    /// Handed out.
    Out,
    /// Answered, or failed.
    Done,
    /// Its scope ended first.
    Withdrawn,
}

/// A question to an employed agent.
#[derive(Debug, Clone, Default)]
pub(super) struct Brief {
    /// The agent.
    pub(super) node: Option<NodeId>,
    /// What is shown when the agent has no prompt of its own.
    pub(super) text: String,
    /// Names for its prompt and role.
    pub(super) names: Map<String, Value>,
}

impl TurnState {
    pub(super) fn frame(&self) -> FrameId {
        self.place.frame
    }
}
