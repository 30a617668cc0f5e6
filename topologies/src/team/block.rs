//! Blocks: the scopes that run in rounds. The team is a block; so are sub-teams, loops, and a router with its targets.
//!
//! One construct serves all four: members act once per round, rounds are capped, and an `until` guard may end them
//! early. A block inside another is also a node there, and acts by running to its end.

use super::{Budget, NodeId};
use crate::expr::Guard;
use crate::source::{Span, Spanned};

/// A set of nodes that runs in rounds.
#[derive(Debug, Clone)]
pub struct Block {
    /// Full name; the team's own name for the root.
    pub name: String,
    /// The node that stands for it in the enclosing block; `None` for the root.
    pub node: Option<NodeId>,
    /// What kind of scope it is.
    pub kind: BlockKind,
    /// Members in declared order, employed agents excluded.
    pub members: Vec<NodeId>,
    /// How often the members act.
    pub rounds: Rounds,
    /// Whose last messages are the block's output: declared, or the members nobody listens to.
    pub output: Vec<NodeId>,
    /// Limits on the whole block.
    pub budget: Budget,
    /// Where it was declared.
    pub span: Span,
}

/// What kind of scope a block is.
#[derive(Debug, Clone)]
pub enum BlockKind {
    /// The team itself or a team inside a team: members have their own name space, `task` is the block's input.
    Team,
    /// A loop over nodes of the enclosing team, sharing its name space.
    Loop,
    /// A router and those it may call; a round is one decision and what it set off.
    Routed(Routing),
}

/// Dynamic D: who speaks next is what the router says.
#[derive(Debug, Clone)]
pub struct Routing {
    /// The deciding agent; acts first in each round.
    pub router: NodeId,
    /// Output field of the router that holds the choice.
    pub field: String,
    /// Nodes that may be named (by label), in declared order.
    pub targets: Vec<NodeId>,
    /// Words that end the block.
    pub done: Vec<String>,
    /// Most targets named in one decision; above 1 they run side by side.
    pub several: u32,
    /// What follows an output that names no target.
    pub unparseable: Unparseable,
    /// Whether the router speaks again after a target; `false` ends the block after one decision.
    pub returns: bool,
}

/// What an unparseable route leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unparseable {
    /// The block ends, with that reason recorded.
    End,
    /// The episode fails, with that reason recorded.
    Fail,
    /// This target speaks.
    Default(NodeId),
}

/// How often the members of a block act.
#[derive(Debug, Clone)]
pub struct Rounds {
    /// Cap, at least 1. For a routed block: most decisions (`max_steps`).
    pub max: u32,
    /// Ends the rounds when true after a round.
    pub until: Option<Spanned<Guard>>,
    /// Which round's output stands at the end.
    pub keep: Keep,
}

/// Which round's output of a block counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// The last round's.
    Last,
    /// The round with the highest number in `field` of `node` (the earliest on ties).
    Best {
        /// The scoring node.
        node: NodeId,
        /// Its numeric field.
        field: String,
    },
}
