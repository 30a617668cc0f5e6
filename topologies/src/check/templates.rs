//! Templates: every variable must exist where the template is rendered.

use super::Problem;
use super::scopes::{Given, Spaces, View};
use crate::expr::Names as _;
use crate::source::Spanned;
use crate::team::{NodeKind, Op, Team};
use crate::template::Template;

pub(super) fn check(team: &Team, spaces: &Spaces<'_>, problems: &mut Vec<Problem>) {
    for id in team.node_ids() {
        let node = team.node(id);
        if node.replica.is_some_and(|replica| replica.index > 0) {
            continue;
        }
        match &node.kind {
            NodeKind::Agent(agent) => {
                for template in std::iter::once(&agent.role).chain(&agent.prompt) {
                    if !template.is_literal() {
                        names(&spaces.at(id, Given::Agent), template, problems);
                    }
                }
            }
            NodeKind::Function(function) => match &function.op {
                Op::Concat { template: Some(template), .. } => names(&spaces.at(id, Given::Concat), template, problems),
                Op::Tool { arguments, .. } => {
                    for (_, template) in arguments {
                        names(&spaces.at(id, Given::Tool), template, problems);
                    }
                }
                _ => {}
            },
            NodeKind::Block(_) => {}
        }
    }
    for edge in team.edges() {
        if let Some(template) = &edge.template {
            names(&spaces.at(edge.from, Given::Edge), template, problems);
        }
    }
}

fn names(view: &View<'_>, template: &Spanned<Template>, problems: &mut Vec<Problem>) {
    for path in template.variables() {
        let mut parts = path.split('.');
        let (Some(name), field) = (parts.next(), parts.next()) else { continue };
        // Functions of the template language are no variables.
        if matches!(name, "range" | "dict" | "namespace" | "debug" | "cycler" | "joiner" | "loop") {
            continue;
        }
        let unknown = match field {
            _ if view.name(name).is_none() => name.to_owned(),
            Some(field) if view.field(name, field).is_none() => format!("{name}.{field}"),
            _ => continue,
        };
        problems.push(view.unknown(&unknown, template.span));
    }
}
