//! Frames: one run of a block, with what each member has said in it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::budget::Spent;
use super::function::Program;
use super::map::Items;
use super::message::{Heard, Message, Spoken};
use crate::team::{BlockId, NodeId};

/// Position in the list of live frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FrameId(pub(super) u32);

impl FrameId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// One instance of a node: its slot in a frame, and its item under a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) frame: FrameId,
    pub(super) slot: u32,
    pub(super) item: Option<u32>,
}

/// What the members of a block are shown as `task`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Task {
    /// Its text.
    pub text: String,
    /// Further fields by name.
    pub fields: Map<String, Value>,
}

impl Task {
    /// A task that is only text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), fields: Map::new() }
    }

    /// The record that guards and templates see.
    pub(super) fn record(&self) -> Map<String, Value> {
        let mut record = self.fields.clone();
        record.insert("text".into(), Value::from(self.text.as_str()));
        record
    }
}

/// One run of a block.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) block: BlockId,
    /// Whose run it is; `None` for the team itself.
    pub(super) parent: Option<Place>,
    /// Key of everything in it.
    pub(super) prefix: Vec<u32>,
    pub(super) task: Arc<Task>,
    /// Names of the items around it, innermost last.
    pub(super) names: Arc<Map<String, Value>>,
    pub(super) round: u32,
    /// Members that have not settled in this round.
    pub(super) open: u32,
    pub(super) slots: Vec<Slot>,
    /// Slots that the router named this round.
    pub(super) named: Vec<u32>,
    /// Set when it ends after this round.
    pub(super) ending: Option<super::EndReason>,
    /// What stands if it ended now.
    pub(super) kept: Kept,
    /// Score of what is kept, for `keep = "best"`.
    pub(super) best: Option<f64>,
    pub(super) spent: Spent,
    pub(super) reserved: Spent,
    pub(super) out: u32,
}

/// The output of a round.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    pub(super) outputs: Vec<Arc<Message>>,
    /// What inner nodes said that is heard outside.
    pub(super) escaped: Vec<Spoken>,
}

/// One member of a block in one run.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    pub(super) phase: Phase,
    /// Slots that must settle before it may act.
    pub(super) waiting: u32,
    /// For a join of the first k: in-edges resolved so far.
    pub(super) cursor: u32,
    pub(super) heard: Option<Arc<[Heard]>>,
    /// Rounds in which it spoke, oldest first; as far back as delays reach, and always the last.
    pub(super) said: Vec<Round>,
    /// Runs of a map.
    pub(super) items: Option<Box<Items>>,
    /// Functions at work, by item.
    pub(super) programs: Vec<(Option<u32>, Program)>,
    /// Messages whose curators are being asked.
    pub(super) settling: Option<Vec<Spoken>>,
    /// Writes per memory, in the agent's order, for curators.
    pub(super) writes: Vec<u32>,
    pub(super) spent: Spent,
    pub(super) reserved: Spent,
    pub(super) out: u32,
}

/// Where a member stands in a round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Waiting,
    Acting,
    Settled,
}

/// What a member said in one round: one message, or one per item; and what escaped from inside it.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_field_names, reason = "the number of a round is its round")]
pub(super) struct Round {
    pub(super) round: u32,
    pub(super) messages: Vec<Spoken>,
    pub(super) escaped: Vec<Spoken>,
}

impl Slot {
    /// What it said in exactly this round.
    pub(super) fn in_round(&self, round: u32) -> Option<&Round> {
        self.said.iter().rev().find(|said| said.round == round)
    }

    /// What it said last, up to and including this round.
    pub(super) fn up_to(&self, round: u32) -> Option<&Round> {
        self.said.iter().rev().find(|said| said.round <= round)
    }

    /// Forgets rounds that no delay reaches any more, but never the last one.
    pub(super) fn forget(&mut self, before: u32) {
        let old = self.said.iter().take_while(|said| said.round < before).count();
        let keep_last = self.said.len().saturating_sub(1);
        self.said.drain(..old.min(keep_last));
    }
}

impl Round {
    /// What `node` said: the member itself, or a node inside it.
    pub(super) fn of(&self, node: NodeId, direct: bool) -> impl Iterator<Item = &Spoken> {
        let list = if direct { &self.messages } else { &self.escaped };
        list.iter().filter(move |spoken| direct || spoken.message.node == node)
    }
}
