//! The plan: everything about a team that no episode changes, worked out once and shared by all episodes.
//!
//! Each block gets its members in canonical order (topological layers, declared order within a layer), and for each
//! member the number of others it waits for and the list of those that wait for it. With that, an event during an episode
//! costs the degree of the node that spoke, never a scan over the team.

use std::collections::HashMap;
use std::sync::Arc;

use jsonschema::Validator;

use super::library::Library;
use super::order::{self, Rows};
use super::uses::Uses;
use crate::team::{Block, BlockId, BlockKind, EdgeId, Join, Lifted, ListSource, MapOrder, NodeId, Team, VariableId};

/// A team made ready to run.
#[derive(Debug)]
pub struct Plan {
    pub(super) team: Arc<Team>,
    pub(super) blocks: Vec<BlockPlan>,
    pub(super) edges: Vec<EdgePlan>,
    pub(super) nodes: Vec<NodePlan>,
    pub(super) labels: HashMap<BlockId, HashMap<String, Vec<NodeId>>>,
    pub(super) variables: HashMap<String, VariableId>,
    pub(super) library: Library,
    /// Whether anything in the team has a budget.
    pub(super) budgeted: bool,
}

#[derive(Debug)]
pub(super) struct BlockPlan {
    /// Members; a member's position is its slot.
    pub(super) order: Vec<NodeId>,
    /// Per slot: how many slots must settle before it may act.
    pub(super) waits: Vec<u32>,
    /// Per slot: the slots whose wait it ends.
    pub(super) followers: Rows,
    /// Per slot: the slots with a `join` of the first k that hear it.
    pub(super) watchers: Rows,
    /// The name space it belongs to: the nearest block of kind team.
    pub(super) space: BlockId,
    /// Longest delay of an edge between its members.
    pub(super) horizon: u32,
    /// Nodes inside it that are heard outside.
    pub(super) escapes: Vec<NodeId>,
    /// Slots of the targets that the router may name.
    pub(super) router: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct EdgePlan {
    /// Innermost block that holds both ends.
    pub(super) common: BlockId,
    /// Slot there of the speaker or of the member around it.
    pub(super) from: u32,
    /// Whether the speaker itself is that member.
    pub(super) direct: bool,
    /// Whether the hearer is a member of that block too.
    pub(super) inside: bool,
}

#[derive(Debug, Default)]
pub(super) struct NodePlan {
    pub(super) slot: u32,
    /// In-edges without delay.
    pub(super) prompt_edges: u32,
    pub(super) schema: Option<Arc<Validator>>,
    /// Plans for a DAG that its output makes: field, most items, most layers.
    pub(super) plans: Vec<(Option<String>, u32, u32)>,
    /// Names its conditions and expressions use.
    pub(super) uses: Uses,
}

impl Plan {
    /// Prepares a team. Takes time linear in its nodes and edges; do it once per team, not per episode.
    pub fn new(team: Arc<Team>) -> Arc<Self> {
        let spaces = spaces(&team);
        let labels = labels(&team, &spaces);
        let variables =
            team.variables().iter().enumerate().map(|(id, known)| (known.name.clone(), VariableId::from(id))).collect();
        let mut nodes: Vec<_> = team.node_ids().map(|node| NodePlan::new(&team, node, &variables)).collect();
        let lifted: Vec<_> = team.edges().iter().map(|edge| team.lift(edge)).collect();
        for (edge, _) in team.edges().iter().zip(&lifted).filter(|(edge, _)| edge.delay == 0) {
            nodes[edge.to.index()].prompt_edges += 1;
        }
        plan_checks(&team, &mut nodes);

        let mut blocks = order::blocks(&team, &lifted, &mut nodes, &labels, &spaces);
        let mut edges = Vec::with_capacity(lifted.len());
        for (edge, lifted) in team.edges().iter().zip(&lifted) {
            let Lifted { block: common, from, to } = *lifted;
            let block = &mut blocks[common.index()];
            block.horizon = block.horizon.max(edge.delay);
            let plan =
                EdgePlan { common, from: nodes[from.index()].slot, direct: from == edge.from, inside: to == edge.to };
            edges.push(plan);
        }
        escapes(&team, &mut blocks);
        let root = team.block(Team::ROOT);
        let bound = |block: &Block| {
            // The root's budget cannot run out when it covers the worst case.
            let worst = team.worst_case();
            let covered = block.node.is_none()
                && block.budget.calls.is_none_or(|calls| calls >= worst.calls)
                && block.budget.tokens.is_none_or(|tokens| tokens >= worst.tokens)
                && block.budget.cost.is_none();
            !covered && counted(&block.budget)
        };
        let budgeted = bound(root)
            || team.blocks().iter().skip(1).any(bound)
            || team.nodes().iter().any(|node| counted(&node.budget));
        let library = Library::new(&team);
        Arc::new(Self { team, blocks, edges, nodes, labels, variables, library, budgeted })
    }

    /// The team.
    pub fn team(&self) -> &Arc<Team> {
        &self.team
    }

    pub(super) fn slot(&self, node: NodeId) -> usize {
        self.nodes[node.index()].slot as usize
    }
}

fn counted(budget: &crate::team::Budget) -> bool {
    budget.calls.is_some() || budget.tokens.is_some() || budget.cost.is_some()
}

impl NodePlan {
    fn new(team: &Team, node: NodeId, variables: &HashMap<String, VariableId>) -> Self {
        let schema = team.node(node).agent().and_then(|agent| agent.output.schema.as_deref());
        let schema = schema.and_then(|schema| jsonschema::validator_for(schema).ok()).map(Arc::new);
        Self { schema, uses: Uses::of(team, node, variables), ..Self::default() }
    }
}

/// Per block, the nearest block of kind team around it (itself, when it is one).
fn spaces(team: &Team) -> Vec<BlockId> {
    let mut spaces: Vec<BlockId> = Vec::with_capacity(team.blocks().len());
    for (id, block) in team.blocks().iter().enumerate() {
        let id = BlockId::from(id);
        let space = match (&block.kind, team.parent(id)) {
            // Blocks come after the one that holds them, so the parent's space is known.
            (BlockKind::Loop | BlockKind::Routed(_), Some(parent)) => spaces[parent.index()],
            _ => id,
        };
        spaces.push(space);
    }
    spaces
}

fn labels(team: &Team, spaces: &[BlockId]) -> HashMap<BlockId, HashMap<String, Vec<NodeId>>> {
    let mut labels: HashMap<BlockId, HashMap<String, Vec<NodeId>>> = HashMap::new();
    for id in team.node_ids() {
        let node = team.node(id);
        if !node.employed {
            let space = labels.entry(spaces[node.block.index()]).or_default();
            space.entry(node.label.clone()).or_default().push(id);
        }
    }
    labels
}

/// What loops and routed blocks say to the outside: everything inside them shares the name space around them.
fn escapes(team: &Team, blocks: &mut [BlockPlan]) {
    for id in team.node_ids().filter(|id| !team.node(*id).employed) {
        let mut home = team.node(id).block;
        while let (BlockKind::Loop | BlockKind::Routed(_), Some(outer)) = (&team.block(home).kind, team.parent(home)) {
            blocks[home.index()].escapes.push(id);
            home = outer;
        }
    }
}

/// Lets agents whose output is run as a DAG know what a valid plan is.
fn plan_checks(team: &Team, nodes: &mut [NodePlan]) {
    for node in team.nodes() {
        let Some(map) = &node.map else { continue };
        let (MapOrder::Dag { max_depth }, ListSource::Nodes { nodes: sources, field }) = (map.order, &map.over) else {
            continue;
        };
        for source in sources {
            nodes[source.index()].plans.push((field.clone(), map.max, max_depth));
        }
    }
}

impl Plan {
    /// Whether a node waits with `join` of the first k.
    pub(super) fn first_k(&self, node: NodeId) -> Option<u32> {
        match self.team.node(node).join {
            Join::All => None,
            Join::First(k) => Some(k),
        }
    }

    /// The edges into a node, in declared order.
    pub(super) fn incoming(&self, node: NodeId) -> &[EdgeId] {
        self.team.incoming(node)
    }
}
