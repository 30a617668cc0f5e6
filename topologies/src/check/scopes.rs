//! What expressions and templates may name, and of what type it is.

use std::collections::{BTreeSet, HashMap};

use super::names::nearest;
use super::{Code, Problem};
use crate::expr::Names;
use crate::source::Span;
use crate::spec::PortType;
use crate::team::{BlockId, BlockKind, MapOrder, NodeId, Team};

/// What is given beside names of nodes and state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Given {
    /// A node's `when`.
    Node,
    /// An edge's `when` or template, of its sender.
    Edge,
    /// A node's `sets`: `output` is its own message.
    Sets,
    /// `until` of rounds.
    Until,
    /// A transform: `inputs`.
    Inputs,
    /// A tree's `until`: `node`.
    Tree,
    /// An agent's role or prompt.
    Agent,
    /// A tool's arguments.
    Tool,
    /// The template of a concat.
    Concat,
}

impl Given {
    /// Conditions may name every node of the team; whatever becomes words only what was heard, else D would not tell
    /// the truth.
    fn hears_all(self) -> bool {
        matches!(self, Self::Node | Self::Edge | Self::Sets | Self::Until | Self::Tree)
    }

    fn extra(self, name: &str) -> Option<PortType> {
        match (self, name) {
            (Self::Edge | Self::Concat, "message") | (Self::Sets | Self::Until, "output") | (Self::Tree, "node") => {
                Some(PortType::Object)
            }
            (Self::Edge | Self::Concat, "from") | (Self::Edge, "to") | (Self::Tree, "text") => Some(PortType::Text),
            (Self::Tree, "score") => Some(PortType::Number),
            (Self::Tree, "depth") => Some(PortType::Integer),
            (Self::Tree, "path") | (Self::Agent | Self::Tool | Self::Concat | Self::Inputs, "messages" | "inputs") => {
                Some(PortType::List)
            }
            _ => None,
        }
    }
}

/// Names that an employed agent is given; which of them depends on its employer.
const EMPLOYED: &[&str] = &["candidate", "candidates", "first", "second", "path", "depth", "index", "record"];

/// The name spaces of a team.
#[derive(Debug)]
pub(super) struct Spaces<'t> {
    team: &'t Team,
    /// The team block whose names a block shares.
    space: Vec<BlockId>,
    labels: HashMap<(BlockId, &'t str), NodeId>,
    variables: HashMap<&'t str, PortType>,
}

impl<'t> Spaces<'t> {
    pub(super) fn new(team: &'t Team) -> Self {
        let mut space: Vec<BlockId> = (0..team.blocks().len()).map(BlockId::from).collect();
        for (index, block) in team.blocks().iter().enumerate() {
            if let (Some(node), false) = (block.node, matches!(block.kind, BlockKind::Team)) {
                // Outer blocks come first, so theirs is settled.
                space[index] = space[team.node(node).block.index()];
            }
        }
        let mut labels = HashMap::new();
        for id in team.node_ids() {
            let node = team.node(id);
            labels.entry((space[node.block.index()], node.label.as_str())).or_insert(id);
        }
        let variables = team.variables().iter().map(|variable| (variable.name.as_str(), variable.kind)).collect();
        Self { team, space, labels, variables }
    }

    /// What `node` may name.
    pub(super) fn at(&self, node: NodeId, given: Given) -> View<'_> {
        let heard = if given.hears_all() {
            BTreeSet::new()
        } else {
            let senders = self.team.incoming(node).iter().map(|edge| self.team.edge(*edge).from);
            senders.map(|from| self.team.node(from).label.as_str()).collect()
        };
        View { spaces: self, node, given, heard }
    }

    fn find(&self, node: NodeId, label: &str) -> Option<NodeId> {
        let space = self.space[self.team.node(node).block.index()];
        self.labels.get(&(space, label)).copied()
    }
}

/// What one expression or template may name.
#[derive(Debug)]
pub(super) struct View<'s> {
    spaces: &'s Spaces<'s>,
    node: NodeId,
    given: Given,
    heard: BTreeSet<&'s str>,
}

impl View<'_> {
    fn team(&self) -> &Team {
        self.spaces.team
    }

    fn neighbour(&self, name: &str) -> Option<NodeId> {
        let found = self.spaces.find(self.node, name)?;
        (self.given.hears_all() || self.heard.contains(name)).then_some(found)
    }

    /// Names given by maps around the node, innermost first.
    fn mapped(&self, name: &str) -> Option<PortType> {
        let team = self.team();
        let mut node = Some(self.node);
        while let Some(id) = node {
            if let Some(map) = &team.node(id).map {
                match name {
                    "index" => return Some(PortType::Integer),
                    "done" if map.order == MapOrder::Chain => return Some(PortType::List),
                    "needs" if matches!(map.order, MapOrder::Dag { .. }) => return Some(PortType::Object),
                    _ if name == map.item => return Some(PortType::Any),
                    _ => {}
                }
            }
            node = team.block(team.node(id).block).node;
        }
        None
    }

    /// The problem of a name that is not there.
    pub(super) fn unknown(&self, name: &str, span: Span) -> Problem {
        let (head, field) = name.split_once('.').map_or((name, None), |(head, field)| (head, Some(field)));
        let message = format!("unknown variable `{name}`");
        let problem = |help: String| Problem::new(Code::UnknownVariable, message, span).help(help).at_word(name);
        if let (Some(field), Some(node)) = (field, self.neighbour(head)) {
            let ports = self.team().ports(node);
            return problem(match nearest(field, ports.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{head}.{near}`?"),
                None => format!("`{head}` has no field `{field}`; it has {}", ports.join(", ")),
            });
        }
        if self.spaces.find(self.node, head).is_some() {
            let label = &self.team().node(self.node).label;
            return problem(format!("`{label}` does not see `{head}`: add it to its `sees`"));
        }
        let space = self.spaces.space[self.team().node(self.node).block.index()];
        let mut known: Vec<&str> = vec!["task", "round", "rounds", "me"];
        known.extend(self.spaces.variables.keys());
        if self.given.hears_all() {
            known.extend(self.spaces.labels.keys().filter(|(home, _)| *home == space).map(|(_, label)| *label));
        } else {
            known.extend(&self.heard);
        }
        known.extend(
            self.team()
                .node(self.node)
                .agent()
                .iter()
                .flat_map(|agent| agent.vars.iter().map(|(name, _)| name.as_str())),
        );
        known.sort_unstable();
        problem(match nearest(head, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.len() <= 12 => format!("known here: {}", known.join(", ")),
            None => "declare it under `[state]` or in the agent's `vars`".to_owned(),
        })
    }
}

impl Names for View<'_> {
    fn name(&self, name: &str) -> Option<PortType> {
        match name {
            "task" => return Some(PortType::Object),
            "round" | "rounds" => return Some(PortType::Integer),
            "me" => return Some(PortType::Text),
            _ => {}
        }
        if let Some(kind) = self.given.extra(name).or_else(|| self.mapped(name)) {
            return Some(kind);
        }
        if let Some(kind) = self.spaces.variables.get(name) {
            return Some(*kind);
        }
        if let Some(node) = self.neighbour(name) {
            let plural = self.team().is_plural(node) || self.team().node(node).replica.is_some();
            return Some(if plural { PortType::List } else { PortType::Object });
        }
        let agent = self.team().node(self.node).agent()?;
        let declared = agent.vars.iter().any(|(known, _)| known == name);
        let memory = agent.reads.iter().chain(&agent.writes).any(|id| self.team().memories()[id.index()].name == name);
        let employed = self.team().node(self.node).employed
            && (EMPLOYED.contains(&name) || self.team().memories().iter().any(|memory| memory.name == name));
        (declared || memory || employed).then_some(PortType::Any)
    }

    fn field(&self, name: &str, field: &str) -> Option<PortType> {
        match (name, self.given) {
            ("task", _) => {
                if field == "text" {
                    return Some(PortType::Text);
                }
                let space = self.spaces.space[self.team().node(self.node).block.index()];
                let fields = self.team().task_fields();
                let declared = fields.iter().find(|(known, _)| known == field).map(|(_, kind)| *kind);
                // Inside a team, the task is whatever reaches the team.
                return declared.or((space != Team::ROOT).then_some(PortType::Any));
            }
            ("output", Given::Sets) | ("message", Given::Edge) => return self.team().port(self.node, field),
            ("output", Given::Until) | ("message", _) | ("node", Given::Tree) => return Some(PortType::Any),
            _ => {}
        }
        if self.mapped(name).is_some() || self.spaces.variables.contains_key(name) {
            return Some(PortType::Any);
        }
        match self.neighbour(name) {
            Some(node) => self.team().port(node, field),
            None => Some(PortType::Any),
        }
    }
}
