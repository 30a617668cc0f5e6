//! What a team means: the validated graph, as flat lists addressed by index.
//!
//! A [`Team`] only exists when the checker found nothing wrong, so whoever holds one may rely on it: every id is in
//! range, every guard and template compiles and knows its variables, every loop is capped.

mod agent;
mod block;
mod budget;
mod constraint;
mod edge;
mod function;
mod ids;
mod nesting;
mod node;
mod output;
mod policy;
mod port;
mod state;
mod training;

pub use agent::{Agent, Optimizer, Sampling};
pub use block::{Block, BlockKind, Keep, Rounds, Routing, Unparseable};
pub use budget::{Budget, Outcome};
pub use constraint::Constraint;
pub use edge::{Carries, Edge, EdgeOrigin};
pub use function::{Function, Op, RankMethod, Score, Tree, TreeSelect};
pub use ids::{BlockId, EdgeId, MemoryId, NodeId, PolicyId, VariableId};
pub use nesting::Lifted;
pub use node::{Join, ListSource, Map, MapOrder, Node, NodeKind, Replica};
pub use output::{Field, Find, OnParseError, Output, Visibility};
pub use policy::{Policy, PolicyKind};
pub use state::{Memory, Variable};
pub use training::{Credit, Reward};

use crate::spec::PortType;
use crate::worst_case::WorstCase;

/// A validated team.
#[derive(Debug, Clone)]
pub struct Team {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) memories: Vec<Memory>,
    pub(crate) rewards: Vec<Reward>,
    pub(crate) credit: Credit,
    pub(crate) task_fields: Vec<(String, PortType)>,
    pub(crate) task_max_tokens: Option<u32>,
    pub(crate) incoming: Adjacency,
    pub(crate) outgoing: Adjacency,
    pub(crate) worst_case: WorstCase,
}

/// Edge ids grouped by node, each group in declared order (compressed rows).
#[derive(Debug, Clone, Default)]
pub(crate) struct Adjacency {
    offsets: Vec<u32>,
    edges: Vec<EdgeId>,
}

impl Adjacency {
    /// Groups edges 0.. by the node `end` names, in O(nodes + edges).
    pub(crate) fn new(nodes: usize, edges: &[Edge], end: impl Fn(&Edge) -> NodeId) -> Self {
        let mut offsets = vec![0_u32; nodes + 1];
        for edge in edges {
            offsets[end(edge).index() + 1] += 1;
        }
        for node in 0..nodes {
            offsets[node + 1] += offsets[node];
        }
        let mut next = offsets.clone();
        let mut grouped = vec![EdgeId(0); edges.len()];
        for (id, edge) in edges.iter().enumerate() {
            let slot = &mut next[end(edge).index()];
            grouped[*slot as usize] = EdgeId::from(id);
            *slot += 1;
        }
        Self { offsets, edges: grouped }
    }

    pub(crate) fn of(&self, node: NodeId) -> &[EdgeId] {
        &self.edges[self.offsets[node.index()] as usize..self.offsets[node.index() + 1] as usize]
    }
}

impl Team {
    /// The root block: the team itself.
    pub const ROOT: BlockId = BlockId(0);

    /// The team's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for; empty when the file does not say.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// All nodes: agents, functions, and inner blocks seen from outside; replicas side by side.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// All node ids.
    pub fn node_ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId::from)
    }

    /// Agents in declared order, employed ones included.
    pub fn agents(&self) -> impl Iterator<Item = (NodeId, &Agent)> {
        self.node_ids().zip(&self.nodes).filter_map(|(id, node)| Some((id, node.agent()?)))
    }

    /// The node with this full name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name).map(NodeId::from)
    }

    /// All edges.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// One edge.
    pub fn edge(&self, id: EdgeId) -> &Edge {
        &self.edges[id.index()]
    }

    /// Edges into a node, in declared order.
    pub fn incoming(&self, node: NodeId) -> &[EdgeId] {
        self.incoming.of(node)
    }

    /// Edges out of a node, in declared order.
    pub fn outgoing(&self, node: NodeId) -> &[EdgeId] {
        self.outgoing.of(node)
    }

    /// All blocks, the root first and every block after the one that holds it.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// One block.
    pub fn block(&self, id: BlockId) -> &Block {
        &self.blocks[id.index()]
    }

    /// The block around a block; `None` for the root.
    pub fn parent(&self, block: BlockId) -> Option<BlockId> {
        self.block(block).node.map(|node| self.node(node).block)
    }

    /// The member of `block` that is `node` or contains it; `None` when `node` lies outside.
    pub fn member_of(&self, block: BlockId, mut node: NodeId) -> Option<NodeId> {
        loop {
            let home = self.node(node).block;
            if home == block {
                return Some(node);
            }
            node = self.block(home).node?;
        }
    }

    /// All policies, in order of first use.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// One policy.
    pub fn policy(&self, id: PolicyId) -> &Policy {
        &self.policies[id.index()]
    }

    /// All state variables.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// All memories.
    pub fn memories(&self) -> &[Memory] {
        &self.memories
    }

    /// Declared reward terms; empty = one team reward that the run file computes.
    pub fn rewards(&self) -> &[Reward] {
        &self.rewards
    }

    /// How reward becomes credit.
    pub fn credit(&self) -> &Credit {
        &self.credit
    }

    /// Fields that a task must bring beside its text.
    pub fn task_fields(&self) -> &[(String, PortType)] {
        &self.task_fields
    }

    /// Declared cap on the tokens of a task's text.
    pub fn task_max_tokens(&self) -> Option<u32> {
        self.task_max_tokens
    }

    /// Most calls and sampled tokens that one run of the team can cost.
    pub fn worst_case(&self) -> WorstCase {
        self.worst_case
    }
}
