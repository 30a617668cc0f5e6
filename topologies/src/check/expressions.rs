//! Expressions: every name must exist, conditions must be true or false, and assignments must fit their variable.

use super::scopes::{Given, Spaces, View};
use super::{Code, Problem};
use crate::expr::{Expression, Guard, infer};
use crate::source::{Span, Spanned};
use crate::spec::PortType;
use crate::team::{NodeId, NodeKind, Op, Team};

pub(super) fn check(team: &Team, spaces: &Spaces<'_>, problems: &mut Vec<Problem>) {
    for id in team.node_ids() {
        // Replicas are alike.
        let node = team.node(id);
        if node.replica.is_some_and(|replica| replica.index > 0) {
            continue;
        }
        if let Some(when) = &node.when {
            condition(&spaces.at(id, Given::Node), when, problems);
        }
        for (variable, value) in &node.sets {
            let kind = expression(&spaces.at(id, Given::Sets), value, value.span, problems);
            let variable = &team.variables()[variable.index()];
            if !assignable(kind, variable.kind) {
                let message = format!(
                    "`{}` is {}, but `{}` is {}",
                    value.source(),
                    kind.word(),
                    variable.name,
                    variable.kind.word()
                );
                problems.push(
                    Problem::new(Code::TypeMismatch, message, value.span)
                        .help("change the expression or the variable's type"),
                );
            }
        }
        operation(team, spaces, id, problems);
    }
    for edge in team.edges() {
        if let Some(when) = &edge.when {
            condition(&spaces.at(edge.from, Given::Edge), when, problems);
        }
    }
    for block in team.blocks() {
        if let Some(until) = &block.rounds.until
            && let Some(member) = block.members.first()
        {
            condition(&spaces.at(*member, Given::Until), until, problems);
        }
    }
}

fn operation(team: &Team, spaces: &Spaces<'_>, id: NodeId, problems: &mut Vec<Problem>) {
    let NodeKind::Function(function) = &team.node(id).kind else { return };
    match &function.op {
        Op::Transform(value) => {
            let kind = expression(&spaces.at(id, Given::Inputs), value, value.span, problems);
            if !assignable(kind, function.returns) {
                let message =
                    format!("`{}` is {}, but it `returns` {}", value.source(), kind.word(), function.returns.word());
                problems.push(Problem::new(Code::TypeMismatch, message, value.span).help("change `expr` or `returns`"));
            }
        }
        Op::Tree(tree) => {
            if let Some(until) = &tree.until {
                condition(&spaces.at(id, Given::Tree), until, problems);
            }
        }
        _ => {}
    }
}

fn condition(view: &View<'_>, guard: &Spanned<Guard>, problems: &mut Vec<Problem>) {
    let kind = expression(view, guard.expression(), guard.span, problems);
    if !matches!(kind, PortType::Boolean | PortType::Any) {
        let message = format!("`{}` is {}, not true or false", guard.source(), kind.word());
        problems.push(Problem::new(Code::TypeMismatch, message, guard.span).help("compare it with something"));
    }
}

fn expression(view: &View<'_>, expression: &Expression, span: Span, problems: &mut Vec<Problem>) -> PortType {
    let mut unknown = Vec::new();
    let kind = infer(expression.program().expression(), view, &mut |name| unknown.push(name));
    unknown.sort();
    unknown.dedup();
    problems.extend(unknown.into_iter().map(|name| view.unknown(&name, span)));
    kind
}

fn assignable(value: PortType, to: PortType) -> bool {
    value == to
        || value == PortType::Any
        || to == PortType::Any
        || (value == PortType::Integer && to == PortType::Number)
}
