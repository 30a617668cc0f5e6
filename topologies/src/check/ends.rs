//! Ends: where a team declares its output, everything that is said must lead there or have some other effect.

use super::{Code, Problem};
use crate::team::{BlockId, BlockKind, Keep, NodeId, NodeKind, Op, Team};

pub(super) fn check(team: &Team, problems: &mut Vec<Problem>) {
    // In a ring everyone is heard, so nobody is left to speak last; the ring itself is reported.
    if team.blocks().iter().any(|block| block.output.is_empty()) {
        return;
    }
    let mut useful = vec![false; team.nodes().len()];
    let mut pending: Vec<NodeId> = Vec::new();
    for (index, block) in team.blocks().iter().enumerate() {
        pending.extend(&block.output);
        pending.extend(block.members.iter().filter(|member| has_effect(team, **member)));
        if let Keep::Best { node, .. } = &block.rounds.keep {
            pending.push(*node);
        }
        if let BlockKind::Routed(routing) = &block.kind {
            pending.push(routing.router);
        }
        if block.rounds.until.is_some() {
            // `until` may look at any member.
            pending.extend(&team.block(BlockId::from(index)).members);
        }
    }
    pending.extend(team.rewards().iter().flat_map(|reward| &reward.of));
    while let Some(id) = pending.pop() {
        if std::mem::replace(&mut useful[id.index()], true) {
            continue;
        }
        pending.extend(team.incoming(id).iter().map(|edge| team.edge(*edge).from));
        if let Some(node) = team.block(team.node(id).block).node {
            pending.push(node);
        }
        if let NodeKind::Block(block) = team.node(id).kind
            && matches!(team.block(block).kind, BlockKind::Team)
        {
            pending.extend(&team.block(block).output);
        }
    }
    for id in team.node_ids() {
        let node = team.node(id);
        if !useful[id.index()] && !node.employed && !shares_names(team, id) {
            let message = format!("the path of `{}` never reaches an end: nobody uses what it says", node.label);
            let help = "let a node on the way to `output` see it, add it to `output`, or remove it";
            problems.push(Problem::new(Code::EndlessPath, message, node.span).help(help));
        }
    }
}

/// Whether a node acts on the world beside speaking.
fn has_effect(team: &Team, id: NodeId) -> bool {
    let node = team.node(id);
    let effect = match &node.kind {
        NodeKind::Agent(agent) => agent.graded || !agent.writes.is_empty() || !agent.tools.is_empty(),
        NodeKind::Function(function) => matches!(function.op, Op::Tool { .. }),
        NodeKind::Block(_) => false,
    };
    effect || !node.sets.is_empty()
}

/// Loops and routed blocks speak through their members.
fn shares_names(team: &Team, id: NodeId) -> bool {
    team.node(id).inner().is_some_and(|block| !matches!(team.block(block).kind, BlockKind::Team))
}
