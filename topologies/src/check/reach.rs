//! Reachability: every node must be set off by something.

use super::{Code, Problem};
use crate::expr::Scope;
use crate::source::Spanned;
use crate::team::{BlockKind, EdgeOrigin, ListSource, NodeId, Team};

pub(super) fn check(team: &Team, problems: &mut Vec<Problem>) {
    let reached = reached(team);
    for id in team.node_ids() {
        let node = team.node(id);
        if !reached[id.index()] && !node.employed {
            let message = format!("nothing ever sets `{}` off", node.label);
            let help = if team.incoming(id).is_empty() {
                "add `task` or a node to its `sees`"
            } else {
                "all that it sees is unreachable too, or later than it: let one of them see `task`"
            };
            problems.push(Problem::new(Code::UnreachableNode, message, node.span).help(help));
        }
        if let Some(when) = &node.when
            && never(team, id, when)
        {
            let message = format!("`{}` never acts: `{}` never holds", node.label, when.source());
            problems.push(
                Problem::new(Code::UnreachableNode, message, when.span).help("remove the node, or correct `when`"),
            );
        }
    }
    for edge in team.edges() {
        for end in [edge.from, edge.to] {
            let node = team.node(end);
            if node.employed {
                let message = format!("`{}` works for another node, so it has no turn of its own here", node.label);
                let help = "give the other node an agent of its own (the same `policy` shares the weights)";
                problems.push(Problem::new(Code::BadCombination, message, edge.span).help(help));
            }
        }
        if let Some(when) = &edge.when
            && matches!(when.holds(&Scope::new()), Ok(false))
        {
            let (from, to) = (&team.node(edge.from).label, &team.node(edge.to).label);
            let message = format!("the edge from `{from}` to `{to}` never delivers: `{}` never holds", when.source());
            problems
                .push(Problem::new(Code::SilentEdge, message, when.span).help("remove the edge, or correct `when`"));
        }
    }
}

/// Nodes that the task reaches: directly, along edges, or as members of a block that is reached.
fn reached(team: &Team) -> Vec<bool> {
    let mut reached = vec![false; team.nodes().len()];
    let mut pending: Vec<NodeId> = Vec::new();
    for block in 0..team.blocks().len() {
        let block = &team.blocks()[block];
        if block.node.is_none() {
            pending.extend(starters(team, &block.members));
        }
    }
    while let Some(id) = pending.pop() {
        if std::mem::replace(&mut reached[id.index()], true) {
            continue;
        }
        pending.extend(team.outgoing(id).iter().map(|edge| team.edge(*edge).to));
        if let Some(inner) = team.node(id).inner() {
            let block = team.block(inner);
            pending.extend(starters(team, &block.members));
            // A name space of its own: what reaches the team is its members' task.
            if matches!(block.kind, BlockKind::Team) {
                continue;
            }
        }
        // A member that acts sets its loop or router off, so that those who listen to the block are reached.
        if let Some(node) = team.block(team.node(id).block).node {
            pending.push(node);
        }
    }
    reached
}

/// Members that start from the task, or whose loop or router does.
fn starters<'t>(team: &'t Team, members: &'t [NodeId]) -> impl Iterator<Item = NodeId> + 't {
    members.iter().copied().filter(|member| {
        let node = team.node(*member);
        let shares_names = node.inner().is_some_and(|block| !matches!(team.block(block).kind, BlockKind::Team));
        let from_task = node.map.as_ref().is_some_and(|map| !matches!(map.over, ListSource::Nodes { .. }));
        let routed = team.incoming(*member).iter().any(|edge| team.edge(*edge).origin == EdgeOrigin::Route);
        shares_names || from_task || (node.sees_task && !routed)
    })
}

/// Whether a condition holds in no round; only claimed for conditions on `round` alone, or on nothing.
fn never(team: &Team, node: NodeId, when: &Spanned<crate::expr::Guard>) -> bool {
    crate::worst_case::rounds_acting(team, node, when) == Some(0)
}
