//! Nodes: what can speak or compute, how often, and when.

use std::sync::Arc;

use super::{Agent, BlockId, Budget, Function, NodeId, VariableId};
use crate::expr::{Expression, Guard};
use crate::source::{Span, Spanned};

/// One node of the graph. Replicas (`count = n`) are n nodes; a `map` is one node run once per item.
#[derive(Debug, Clone)]
pub struct Node {
    /// Full name, unique in the team: `judge`, `debater[2]`, `search/expand`.
    pub name: String,
    /// Short name, by which templates and guards of neighbours call it: `judge`, `debater`, `expand`.
    pub label: String,
    /// The block it is a member of.
    pub block: BlockId,
    /// What it does.
    pub kind: NodeKind,
    /// Which copy it is, when `count` was above 1.
    pub replica: Option<Replica>,
    /// Run once per item of a list instead of once.
    pub map: Option<Map>,
    /// Condition under which it acts in a round; false means skipped.
    pub when: Option<Spanned<Guard>>,
    /// How many of its in-edges must deliver.
    pub join: Join,
    /// Whether its own observation (the task, or the input of its sub-team) is shown to it.
    pub sees_task: bool,
    /// State variables assigned after it acted, by expressions over its own output.
    pub sets: Vec<(VariableId, Spanned<Expression>)>,
    /// Its own limits.
    pub budget: Budget,
    /// Called as a subroutine (a judge, a tree's expander, a memory's curator). Such an agent never acts by itself.
    pub employed: bool,
    /// Where it was declared.
    pub span: Span,
}

/// What a node does. Agents and functions are shared between replicas.
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// Samples from a policy.
    Agent(Arc<Agent>),
    /// Computes from its inputs, perhaps calling agents in its employ.
    Function(Arc<Function>),
    /// Runs a block to its end.
    Block(BlockId),
}

/// Which copy of a replicated node this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replica {
    /// The first copy; copies have consecutive ids.
    pub first: NodeId,
    /// From 0.
    pub index: u32,
    /// Number of copies.
    pub of: u32,
}

/// Run a node once per item of a list, with a cap known before the run.
#[derive(Debug, Clone)]
pub struct Map {
    /// Where the list comes from.
    pub over: ListSource,
    /// Most items; further items are dropped and counted.
    pub max: u32,
    /// Which items may run at the same time.
    pub order: MapOrder,
    /// Most instances at once; `None` = no limit.
    pub concurrency: Option<u32>,
    /// Template variable that holds the item.
    pub item: String,
    /// Items are agent settings (`role`, `temperature`, …) that override the node's own: spawned agents.
    pub spawn: bool,
}

/// The list a map or rank runs over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListSource {
    /// Outputs of nodes of this round (a field of them, when named). Lists are flattened one level.
    Nodes {
        /// The nodes, in declared order; each also has an edge to the mapped node.
        nodes: Vec<NodeId>,
        /// The field; `None` = the text, split into a list by the producer.
        field: Option<String>,
    },
    /// A state variable of list type.
    State(VariableId),
    /// A list field of the task, such as its documents.
    Task(String),
}

/// Order among the items of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapOrder {
    /// All independent.
    Parallel,
    /// One after another; each sees its predecessors' outputs as `done`.
    Chain,
    /// Items carry `id` and `needs`; they run as a DAG that is validated before it starts.
    Dag {
        /// Most layers of the planned DAG.
        max_depth: u32,
    },
}

/// How many in-edges a node waits for. Deterministic in every interleaving: edges count in declared order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Join {
    /// Wait until every in-edge has delivered or is closed; act when at least one delivered.
    #[default]
    All,
    /// Act on the first k deliveries in declared order; skipped when fewer than k deliver.
    First(u32),
}

impl Node {
    /// The agent, when the node is one.
    pub fn agent(&self) -> Option<&Agent> {
        match &self.kind {
            NodeKind::Agent(agent) => Some(agent),
            NodeKind::Function(_) | NodeKind::Block(_) => None,
        }
    }

    /// The function, when the node is one.
    pub fn function(&self) -> Option<&Function> {
        match &self.kind {
            NodeKind::Function(function) => Some(function),
            NodeKind::Agent(_) | NodeKind::Block(_) => None,
        }
    }

    /// The block it stands for, when the node is one.
    pub fn inner(&self) -> Option<BlockId> {
        match &self.kind {
            NodeKind::Block(block) => Some(*block),
            NodeKind::Agent(_) | NodeKind::Function(_) => None,
        }
    }
}
