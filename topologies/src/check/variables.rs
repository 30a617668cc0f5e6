//! State variables: none may be read before something has surely set it.

use super::{Code, Problem};
use crate::expr::{Expression, Scope};
use crate::source::Span;
use crate::team::{ListSource, NodeId, NodeKind, Op, Team, VariableId};
use crate::template::Template;

pub(super) fn check(team: &Team, problems: &mut Vec<Problem>) {
    for (index, variable) in team.variables().iter().enumerate() {
        if variable.init.is_some() {
            continue;
        }
        let id = VariableId::from(index);
        let set = surely_set(team, id);
        for node in team.node_ids() {
            let Some(span) = reads(team, node, id, &variable.name) else { continue };
            if !set[node.index()] && !later(team, node) {
                let message =
                    format!("`{}` reads `{}` before anything has surely set it", team.node(node).label, variable.name);
                let help = format!(
                    "give it a start: `[state.{}] init = …`, or let a node that always acts set it first",
                    variable.name
                );
                problems.push(Problem::new(Code::UnsetVariable, message, span).help(help));
            }
        }
    }
}

/// Per node: whether the variable is set, in every schedule, before the node acts.
fn surely_set(team: &Team, variable: VariableId) -> Vec<bool> {
    let mut set = vec![false; team.nodes().len()];
    let mut pending: Vec<NodeId> = Vec::new();
    for id in team.node_ids() {
        let node = team.node(id);
        if node.sets.iter().any(|(target, _)| *target == variable) && certain(team, id) {
            pending.push(id);
        }
    }
    // Everyone who waits for such a node, directly or not, comes after it: members of blocks that wait, too.
    let mut seen = vec![false; team.nodes().len()];
    while let Some(id) = pending.pop() {
        if std::mem::replace(&mut seen[id.index()], true) {
            continue;
        }
        for edge in team.outgoing(id).iter().map(|edge| team.edge(*edge)).filter(|edge| edge.delay == 0) {
            let lifted = team.lift(edge);
            for after in [edge.to, lifted.to] {
                set[after.index()] = true;
                pending.push(after);
            }
        }
        if let Some(inner) = team.node(id).inner().filter(|_| set[id.index()]) {
            for member in &team.block(inner).members {
                set[member.index()] = true;
                pending.push(*member);
            }
        }
        if let Some(around) = team.block(team.node(id).block).node {
            pending.push(around);
        }
    }
    set
}

/// Whether a node acts in every run: neither it nor all that feeds it is conditional.
fn certain(team: &Team, id: NodeId) -> bool {
    let node = team.node(id);
    let guarded = !team.incoming(id).is_empty()
        && !node.sees_task
        && team.incoming(id).iter().all(|edge| team.edge(*edge).when.is_some());
    node.when.is_none() && !guarded && node.map.is_none()
}

/// Whether a node acts in later rounds only, when earlier ones may have set the variable.
fn later(team: &Team, id: NodeId) -> bool {
    let first = Scope::from_iter([("round".to_owned(), 0.into())]);
    team.node(id).when.as_ref().is_some_and(|when| matches!(when.holds(&first), Ok(false)))
}

/// Where a node reads a variable, if it does.
fn reads(team: &Team, id: NodeId, variable: VariableId, name: &str) -> Option<Span> {
    let node = team.node(id);
    let in_expression = |expression: &Expression| expression.program().references().has_variable(name);
    let in_template = |template: &Template| {
        template
            .variables()
            .iter()
            .any(|path| path == name || path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
    };
    if let Some(when) = node.when.as_ref().filter(|when| in_expression(when.expression())) {
        return Some(when.span);
    }
    if let Some((_, value)) = node.sets.iter().find(|(_, value)| in_expression(value)) {
        return Some(value.span);
    }
    if node.map.as_ref().is_some_and(|map| map.over == ListSource::State(variable)) {
        return Some(node.span);
    }
    match &node.kind {
        NodeKind::Agent(agent) => {
            let mut templates = std::iter::once(&agent.role).chain(&agent.prompt);
            templates.find(|template| in_template(template)).map(|template| template.span)
        }
        NodeKind::Function(function) => match &function.op {
            Op::Transform(value) if in_expression(value) => Some(value.span),
            Op::Tool { arguments, .. } => {
                arguments.iter().find(|(_, template)| in_template(template)).map(|(_, template)| template.span)
            }
            _ => None,
        },
        NodeKind::Block(_) => None,
    }
}
