//! From what is typed to what it means: names become indices; replicas, sub-teams, loops, topics and routes are
//! expanded into plain nodes and edges. Reports every problem of naming and value on the way and carries on.

mod agents;
mod blocks;
mod body;
mod constrain;
mod edges;
mod functions;
mod load;
mod nodes;
mod routers;
mod scope;
mod settings;
mod state;
mod training;

use std::collections::{HashMap, HashSet};

pub(crate) use load::Loader;

use crate::check::{Code, Problem};
use crate::source::{Span, Spanned};
use crate::spec::{SamplingSpec, TeamSpec};
use crate::team::{
    Adjacency, Block, BlockId, BlockKind, Budget, Credit, Edge, EdgeOrigin, Keep, MemoryId, Node, NodeId, Policy,
    PolicyId, Rounds, Team, VariableId,
};
use crate::worst_case::WorstCase;

/// Most nodes after expansion.
const MAX_NODES: usize = 200_000;
/// Most edges after expansion.
const MAX_EDGES: usize = 1_000_000;

/// A team under construction.
pub(crate) struct Lowering<'l> {
    team: Team,
    problems: Vec<Problem>,
    loader: &'l mut Loader,
    /// Files being expanded, outermost first: a file may not contain itself.
    open_files: Vec<String>,
    policy_ids: HashMap<String, PolicyId>,
    regexes: HashMap<String, regex::Regex>,
    /// Edges that exist, so that D stays boolean.
    edge_keys: HashSet<(NodeId, NodeId, u32, Option<String>, bool)>,
    /// Said once, not once per edge.
    full: bool,
}

/// Lowers a whole file. The team is only meaningful when no problem was found, but checks may look at it anyway.
pub(crate) fn lower(spec: &TeamSpec, span: Span, loader: &mut Loader) -> (Team, Vec<Problem>) {
    let mut lowering = Lowering {
        team: Team {
            name: String::new(),
            description: String::new(),
            nodes: Vec::new(),
            edges: Vec::new(),
            blocks: Vec::new(),
            policies: Vec::new(),
            variables: Vec::new(),
            memories: Vec::new(),
            rewards: Vec::new(),
            credit: Credit::default(),
            task_fields: Vec::new(),
            task_max_tokens: None,
            incoming: Adjacency::default(),
            outgoing: Adjacency::default(),
            worst_case: WorstCase::default(),
        },
        problems: Vec::new(),
        loader,
        open_files: Vec::new(),
        policy_ids: HashMap::new(),
        regexes: HashMap::new(),
        edge_keys: HashSet::new(),
        full: false,
    };
    lowering.whole(spec, span);
    lowering.finish()
}

impl Lowering<'_> {
    fn whole(&mut self, spec: &TeamSpec, span: Span) {
        if let Some(format) = &spec.format
            && format.value != 1
        {
            let message = format!("format {} is not known", format.value);
            self.report(Code::BadValue, message, format.span, "this version reads `format = 1`");
        }
        let header = spec.team.clone().unwrap_or_default();
        self.team.name = header.name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
        self.team.description = header.description.as_ref().map(|text| text.value.clone()).unwrap_or_default();
        if let Some(task) = &spec.task {
            self.task(task);
        }
        let rounds = self.rounds(header.rounds.as_ref());
        let budget = self.budget(header.budget.as_ref());
        let root = self.push_block(Block {
            name: self.team.name.clone(),
            node: None,
            kind: BlockKind::Team,
            members: Vec::new(),
            rounds,
            output: Vec::new(),
            budget,
            span,
        });
        let settings = body::Settings {
            block: root,
            prefix: String::new(),
            rounds: header.rounds.as_ref().map(|rounds| &rounds.value),
            output: header.output.as_ref(),
            sampling: header.sampling.as_ref().map(|sampling| &sampling.value),
            defaults: &SamplingSpec::default(),
            top: Some(spec),
            span: spec.team.as_ref().map_or(span, |team| team.span),
        };
        self.body(&spec.body, &settings);
    }

    fn finish(mut self) -> (Team, Vec<Problem>) {
        let nodes = self.team.nodes.len();
        self.team.incoming = Adjacency::new(nodes, &self.team.edges, |edge| edge.to);
        self.team.outgoing = Adjacency::new(nodes, &self.team.edges, |edge| edge.from);
        self.team.settle_blocks();
        (self.team, self.problems)
    }

    fn report(&mut self, code: Code, message: impl Into<String>, span: Span, help: impl Into<String>) {
        self.problems.push(Problem::new(code, message, span).help(help));
    }

    fn push_block(&mut self, block: Block) -> BlockId {
        self.team.blocks.push(block);
        BlockId::from(self.team.blocks.len() - 1)
    }

    fn push_node(&mut self, node: Node) -> Option<NodeId> {
        if self.team.nodes.len() >= MAX_NODES {
            self.too_large("nodes", MAX_NODES, node.span);
            return None;
        }
        self.team.nodes.push(node);
        Some(NodeId::from(self.team.nodes.len() - 1))
    }

    /// Adds an edge; a second edge that carries the same is a problem where the user wrote it, and silent where it
    /// follows from a map or a topic.
    fn push_edge(&mut self, edge: Edge) {
        if self.team.edges.len() >= MAX_EDGES {
            self.too_large("edges", MAX_EDGES, edge.span);
            return;
        }
        let carries = match &edge.carries {
            crate::team::Carries::Text => None,
            crate::team::Carries::Field(field) => Some(field.clone()),
        };
        let key = (edge.from, edge.to, edge.delay, carries, edge.origin == EdgeOrigin::Over);
        if self.edge_keys.insert(key) {
            self.team.edges.push(edge);
        } else if matches!(edge.origin, EdgeOrigin::Sees | EdgeOrigin::Declared) {
            let (from, to) = (self.team.node(edge.from).label.clone(), self.team.node(edge.to).label.clone());
            let message = format!("the edge from `{from}` to `{to}` is given twice");
            self.report(Code::DuplicateId, message, edge.span, "remove one of the two");
        }
    }

    fn too_large(&mut self, what: &str, most: usize, span: Span) {
        if !std::mem::replace(&mut self.full, true) {
            let message = format!("the expanded team has more than {most} {what}");
            self.report(Code::TooLarge, message, span, "lower `count`, or let replicas see fewer nodes");
        }
    }

    /// The policy with this name, added as a local adapter at first use.
    fn policy_id(&mut self, name: &str) -> PolicyId {
        self.policy_ids.get(name).copied().unwrap_or_else(|| self.push_policy(Policy::adapter(name)))
    }

    fn push_policy(&mut self, policy: Policy) -> PolicyId {
        let id = PolicyId::from(self.team.policies.len());
        self.policy_ids.insert(policy.name.clone(), id);
        self.team.policies.push(policy);
        id
    }

    fn variable_id(&self, name: &str) -> Option<VariableId> {
        self.team.variables.iter().position(|variable| variable.name == name).map(VariableId::from)
    }

    fn memory_id(&self, name: &str) -> Option<MemoryId> {
        self.team.memories.iter().position(|memory| memory.name == name).map(MemoryId::from)
    }
}

impl Rounds {
    fn once() -> Self {
        Self { max: 1, until: None, keep: Keep::Last }
    }
}

/// A default for an absent key.
fn or<T: Clone>(value: Option<&Spanned<T>>, default: T) -> T {
    value.map_or(default, |value| value.value.clone())
}

/// An absent budget.
fn unlimited() -> Budget {
    Budget::default()
}
