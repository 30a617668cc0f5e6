//! Visibility: a private field never leaves its agent, whether along an edge or through a template.

use super::{Code, Problem};
use crate::source::Span;
use crate::team::{Carries, NodeId, NodeKind, Op, Team, Visibility};
use crate::template::Template;

pub(super) fn check(team: &Team, problems: &mut Vec<Problem>) {
    for edge in team.edges() {
        if let Carries::Field(field) = &edge.carries
            && hidden(team, edge.from, edge.to, field)
        {
            problems.push(leak(team, edge.from, edge.to, field, edge.span));
        }
    }
    for id in team.node_ids() {
        match &team.node(id).kind {
            NodeKind::Agent(agent) => {
                for template in
                    std::iter::once(&agent.role).chain(&agent.prompt).filter(|template| !template.is_literal())
                {
                    through(team, id, template, template.span, problems);
                }
            }
            NodeKind::Function(function) => {
                if let Op::Tool { arguments, .. } = &function.op {
                    for (_, template) in arguments {
                        through(team, id, template, template.span, problems);
                    }
                }
            }
            NodeKind::Block(_) => {}
        }
    }
}

fn through(team: &Team, to: NodeId, template: &Template, span: Span, problems: &mut Vec<Problem>) {
    let paths = template.variables();
    for path in &paths {
        let mut parts = path.split('.');
        let (Some(label), Some(field)) = (parts.next(), parts.next()) else { continue };
        let senders = team.incoming(to).iter().map(|edge| team.edge(*edge).from);
        if let Some(from) = senders.into_iter().find(|from| team.node(*from).label == label)
            && hidden(team, from, to, field)
        {
            problems.push(leak(team, from, to, field, span));
        }
    }
}

fn hidden(team: &Team, from: NodeId, to: NodeId, field: &str) -> bool {
    let fields = team.node(from).agent().map(|agent| agent.output.fields.as_slice()).unwrap_or_default();
    let visible = fields.iter().find(|known| known.name == field).map(|known| &known.visible);
    match visible {
        None | Some(Visibility::Public) => false,
        Some(Visibility::Private) => from != to,
        Some(Visibility::Only(nodes)) => from != to && !nodes.contains(&to),
    }
}

fn leak(team: &Team, from: NodeId, to: NodeId, field: &str, span: Span) -> Problem {
    let (from, to) = (&team.node(from).label, &team.node(to).label);
    let message = format!("`{from}.{field}` is kept from `{to}`");
    Problem::new(Code::PrivateField, message, span).help(format!("carry another field, or add `{to}` to `visible_to`"))
}
