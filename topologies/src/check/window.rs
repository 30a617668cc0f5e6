//! Context windows: the longest observation and the longest answer must fit together.

use super::{Code, Problem};
use crate::team::{NodeId, NodeKind, Team};

pub(super) fn check(team: &Team, problems: &mut Vec<Problem>) {
    for (id, agent) in team.agents() {
        let Some(window) = agent.window else { continue };
        let task = team.task_max_tokens().filter(|_| team.node(id).sees_task).map_or(0, u64::from);
        let mut longest = task + u64::from(agent.sampling.max_tokens);
        for edge in team.incoming(id) {
            longest = longest.saturating_add(words(team, team.edge(*edge).from));
        }
        if longest > u64::from(window) {
            let node = team.node(id);
            let message = format!("`{}` may have to hold {longest} tokens in a window of {window}", node.label);
            let help = "lower the `max_tokens` of it or of those it sees, carry a field instead of the text, or raise `window`";
            problems.push(Problem::new(Code::ContextOverflow, message, node.span).help(help));
        }
    }
}

/// Most tokens that one message of a node can have, as far as agents sample it themselves.
fn words(team: &Team, id: NodeId) -> u64 {
    let node = team.node(id);
    let each = match &node.kind {
        NodeKind::Agent(agent) => u64::from(agent.sampling.max_tokens),
        NodeKind::Function(_) | NodeKind::Block(_) => 0,
    };
    each.saturating_mul(node.map.as_ref().map_or(1, |map| u64::from(map.max)))
}
