//! Which names the conditions, expressions and templates of a node use.
//!
//! Only these are put into the scope of an evaluation, and they decide what else a node must wait for.

use std::collections::{BTreeSet, HashMap};

use crate::expr::Expression;
use crate::team::{NodeId, NodeKind, Op, Score, Team, VariableId};
use crate::template::Template;

/// Names used, and shared things touched.
#[derive(Debug, Clone, Default)]
pub(super) struct Uses {
    /// Names in conditions and expressions: its own, and of the guards on its out-edges.
    pub(super) names: BTreeSet<String>,
    /// Shared things it reads: variables, then memories.
    pub(super) reads: BTreeSet<u32>,
    /// Shared things it writes.
    pub(super) writes: BTreeSet<u32>,
}

impl Uses {
    pub(super) fn of(team: &Team, id: NodeId, variables: &HashMap<String, VariableId>) -> Self {
        let node = team.node(id);
        let mut names = BTreeSet::new();
        let mut shown = BTreeSet::new();
        let mut uses = Self::default();
        names.extend(node.when.iter().flat_map(|guard| names_of(guard.expression())));
        for (variable, expression) in &node.sets {
            names.extend(names_of(expression));
            uses.writes.insert(variable.0);
        }
        for edge in team.outgoing(id) {
            names.extend(team.edge(*edge).when.iter().flat_map(|guard| names_of(guard.expression())));
        }
        for edge in team.incoming(id) {
            shown.extend(team.edge(*edge).template.iter().flat_map(|template| variables_of(template)));
        }
        let memory = |memory: u32| team.variables().len() as u32 + memory;
        match &node.kind {
            NodeKind::Agent(agent) => {
                shown.extend(variables_of(&agent.role));
                shown.extend(agent.prompt.iter().flat_map(|template| variables_of(template)));
                uses.reads.extend(agent.reads.iter().map(|id| memory(id.0)));
                uses.writes.extend(agent.writes.iter().map(|id| memory(id.0)));
            }
            NodeKind::Function(function) => match &function.op {
                Op::Transform(expression) => names.extend(names_of(expression)),
                Op::Concat { template, .. } => {
                    shown.extend(template.iter().flat_map(|template| variables_of(template)));
                }
                Op::Tool { arguments, .. } => shown.extend(arguments.iter().flat_map(|(_, value)| variables_of(value))),
                Op::Tree(tree) => names.extend(tree.until.iter().flat_map(|guard| names_of(guard.expression()))),
                Op::Majority { .. } | Op::Vote { .. } | Op::BestOf { .. } | Op::Rank { .. } => {}
            },
            NodeKind::Block(block) => {
                let rounds = &team.block(*block).rounds;
                names.extend(rounds.until.iter().flat_map(|guard| names_of(guard.expression())));
            }
        }
        let variable = |name: &String| variables.get(name).map(|id| id.0);
        uses.reads.extend(names.iter().chain(&shown).filter_map(variable));
        uses.names = names;
        uses
    }
}

/// The plain names an expression refers to, sorted.
pub(super) fn names_of(expression: &Expression) -> Vec<String> {
    let mut names: Vec<_> = expression.program().references().variables().into_iter().map(str::to_owned).collect();
    names.sort();
    names
}

/// The plain names a template refers to.
pub(super) fn variables_of(template: &Template) -> Vec<String> {
    let names = template.variables().into_iter();
    let mut names: Vec<_> = names.map(|name| name.split('.').next().unwrap_or_default().to_owned()).collect();
    names.dedup();
    names
}

/// The agents that a node calls as subroutines: judges, expanders, and the curators of what it writes.
pub(crate) fn employees(team: &Team, node: NodeId) -> Vec<NodeId> {
    match &team.node(node).kind {
        NodeKind::Agent(agent) => {
            agent.writes.iter().filter_map(|memory| team.memories()[memory.index()].curator).collect()
        }
        NodeKind::Function(function) => match &function.op {
            Op::BestOf { score: Score::Judge(judge), .. } | Op::Rank { judge, .. } => vec![*judge],
            Op::Tree(tree) => std::iter::once(tree.expand).chain(tree.score).collect(),
            _ => Vec::new(),
        },
        NodeKind::Block(_) => Vec::new(),
    }
}
