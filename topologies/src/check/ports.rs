//! Ports: what an edge carries must exist, lists must be lists, votes must be comparable and weights numbers.

use super::names::nearest;
use super::{Code, Problem};
use crate::source::Span;
use crate::spec::PortType;
use crate::team::{BlockKind, Carries, Edge, EdgeOrigin, Keep, ListSource, NodeId, NodeKind, Op, Score, Team};

pub(super) fn check(team: &Team, problems: &mut Vec<Problem>) {
    for edge in team.edges() {
        if let Carries::Field(field) = &edge.carries
            && team.port(edge.from, field).is_none()
        {
            problems.push(no_field(team, edge.from, field, edge.span));
        }
    }
    for id in team.node_ids() {
        lists(team, id, problems);
        match &team.node(id).kind {
            NodeKind::Function(function) => inputs(team, id, &function.op, function.max, problems),
            NodeKind::Agent(_) | NodeKind::Block(_) => {}
        }
    }
    for block in team.blocks() {
        if let Keep::Best { node, field } = &block.rounds.keep {
            numeric(team, *node, field, block.span, problems);
        }
        if let BlockKind::Routed(routing) = &block.kind {
            match team.port(routing.router, &routing.field) {
                Some(PortType::Text | PortType::Any) => {}
                Some(PortType::List) if routing.several > 1 => {}
                Some(kind) => {
                    let message = format!("`{}` is {}, not the name of a node", routing.field, kind.word());
                    problems.push(
                        Problem::new(Code::TypeMismatch, message, block.span).help("give the field `type = \"text\"`"),
                    );
                }
                None => problems.push(no_field(team, routing.router, &routing.field, block.span)),
            }
        }
    }
}

fn no_field(team: &Team, node: NodeId, field: &str, span: Span) -> Problem {
    let label = &team.node(node).label;
    let ports = team.ports(node);
    let help = match nearest(field, ports.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("add it: `[agents.{label}.output] {field} = \"<regex>\"`"),
    };
    Problem::new(Code::DanglingReference, format!("`{label}` has no output field `{field}`"), span).help(help)
}

/// A map needs a list.
fn lists(team: &Team, id: NodeId, problems: &mut Vec<Problem>) {
    let Some(map) = &team.node(id).map else { return };
    let (kind, what, span) = match &map.over {
        ListSource::Nodes { nodes, field } => {
            let Some(first) = nodes.first().copied() else { return };
            let several = nodes.len() > 1 || team.is_plural(first);
            let port = field.as_deref().unwrap_or("value");
            let kind = match team.port(first, port) {
                _ if several => PortType::List,
                Some(kind) => kind,
                None if field.is_none() => PortType::Text,
                None => return,
            };
            let over =
                team.incoming(id).iter().map(|edge| team.edge(*edge)).find(|edge| edge.origin == EdgeOrigin::Over);
            let label = &team.node(first).label;
            let what = field.as_ref().map_or_else(|| label.clone(), |field| format!("{label}.{field}"));
            (kind, what, over.map_or(team.node(id).span, |edge| edge.span))
        }
        ListSource::State(variable) => {
            let variable = &team.variables()[variable.index()];
            (variable.kind, format!("state.{}", variable.name), team.node(id).span)
        }
        ListSource::Task(field) => {
            let kind =
                team.task_fields().iter().find(|(name, _)| name == field).map_or(PortType::Any, |(_, kind)| *kind);
            (kind, format!("task.{field}"), team.node(id).span)
        }
    };
    if !matches!(kind, PortType::List | PortType::Any) {
        let message = format!("`{what}` is {}, not a list", kind.word());
        let help = "map over a field with `type = \"list\"`, a replicated node, or a list of the state or task";
        problems.push(Problem::new(Code::TypeMismatch, message, span).help(help));
    }
}

fn inputs(team: &Team, id: NodeId, op: &Op, max: Option<u32>, problems: &mut Vec<Problem>) {
    let node = team.node(id);
    let edges: Vec<&Edge> = team.incoming(id).iter().map(|edge| team.edge(*edge)).collect();
    let takes_inputs =
        matches!(op, Op::Majority { .. } | Op::Vote { .. } | Op::BestOf { .. } | Op::Rank { .. } | Op::Concat { .. });
    if takes_inputs && edges.is_empty() {
        let message = format!("`{}` has no inputs", node.label);
        problems.push(Problem::new(Code::UnreachableNode, message, node.span).help("add `sees = [\"…\"]`"));
    }
    if matches!(op, Op::Majority { .. } | Op::Vote { .. }) {
        equal(team, &edges, problems);
    }
    if let Op::Vote { weight: field, .. } | Op::BestOf { score: Score::Field(field), .. } = op {
        for edge in &edges {
            numeric(team, edge.from, field, edge.span, problems);
        }
    }
    let counts = matches!(op, Op::Rank { .. } | Op::BestOf { score: Score::Judge(_), .. });
    for edge in edges.iter().filter(|_| counts && max.is_none()) {
        if let Carries::Field(field) = &edge.carries
            && matches!(team.port(edge.from, field), Some(PortType::List | PortType::Any))
            && team.max_items(edge.from, field).is_none()
        {
            let message = format!("`{}` has no bound: `{field}` may hold any number of items", node.label);
            problems.push(
                Problem::new(Code::Unbounded, message, edge.span)
                    .help("add `max = N` here, or `max_items` to the field"),
            );
        }
    }
}

/// All votes must be of one type.
fn equal(team: &Team, edges: &[&Edge], problems: &mut Vec<Problem>) {
    let kind = |edge: &Edge| match &edge.carries {
        Carries::Text => Some(PortType::Text),
        Carries::Field(field) => team.port(edge.from, field),
    };
    let known = edges.iter().filter_map(|edge| Some((*edge, kind(edge)?))).filter(|(_, kind)| *kind != PortType::Any);
    let mut first: Option<(&Edge, PortType)> = None;
    for (edge, kind) in known {
        match first {
            None => first = Some((edge, kind)),
            Some((other, expected)) if expected != kind => {
                let (left, right) = (&team.node(other.from).label, &team.node(edge.from).label);
                let message = format!("`{right}` brings {} where `{left}` brings {}", kind.word(), expected.word());
                problems.push(
                    Problem::new(Code::TypeMismatch, message, edge.span)
                        .help("let all inputs carry fields of one type"),
                );
            }
            Some(_) => {}
        }
    }
}

fn numeric(team: &Team, node: NodeId, field: &str, span: Span, problems: &mut Vec<Problem>) {
    match team.port(node, field) {
        Some(PortType::Number | PortType::Integer | PortType::Any) => {}
        Some(kind) => {
            let message = format!("`{}.{field}` is {}, not a number", team.node(node).label, kind.word());
            problems.push(Problem::new(Code::TypeMismatch, message, span).help("give the field `type = \"number\"`"));
        }
        None => problems.push(no_field(team, node, field, span)),
    }
}
