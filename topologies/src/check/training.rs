//! Training: every trainable agent must be reached by some reward.

use super::{Code, Problem};
use crate::spec::{AttachPoint, CreditRule};
use crate::team::{NodeId, NodeKind, Team};

pub(super) fn check(team: &Team, problems: &mut Vec<Problem>) {
    let reached = reached(team);
    for (id, agent) in team.agents() {
        let node = team.node(id);
        if !agent.trainable || node.employed || reached[id.index()] {
            continue;
        }
        let message = format!("`{}` is trainable, but no reward reaches it", node.label);
        let help =
            format!("add `{}` to the `of` of a reward, widen `[credit] rule`, or set `trainable = false`", node.label);
        problems.push(Problem::new(Code::NoRewardPath, message, node.span).help(help));
    }
}

fn reached(team: &Team) -> Vec<bool> {
    let mut reached = vec![false; team.nodes().len()];
    let everyone = |at: AttachPoint, of: &[NodeId]| of.is_empty() && !matches!(at, AttachPoint::Agent);
    let team_wide = team.rewards().is_empty() || team.rewards().iter().any(|reward| everyone(reward.at, &reward.of));
    let mut pending: Vec<NodeId> = team.rewards().iter().flat_map(|reward| reward.of.iter().copied()).collect();
    let upstream = match team.credit().rule {
        CreditRule::Shared | CreditRule::Difference | CreditRule::Rollout if team_wide => {
            reached.fill(true);
            return reached;
        }
        CreditRule::Path => {
            if team_wide {
                pending.extend(&team.block(Team::ROOT).output);
                pending.extend(team.agents().filter(|(_, agent)| agent.graded).map(|(id, _)| id));
            }
            true
        }
        // A team reward that nobody shares reaches only those who speak for the team.
        CreditRule::Own => {
            if team_wide {
                pending.extend(&team.block(Team::ROOT).output);
            }
            false
        }
        _ => false,
    };
    while let Some(id) = pending.pop() {
        if std::mem::replace(&mut reached[id.index()], true) {
            continue;
        }
        if let NodeKind::Block(block) = team.node(id).kind {
            let block = team.block(block);
            pending.extend(if upstream { &block.output } else { &block.members });
        }
        if upstream {
            pending.extend(team.incoming(id).iter().map(|edge| team.edge(*edge).from));
            // Inside a team, its input is upstream of every member.
            pending.extend(team.block(team.node(id).block).node);
        }
    }
    reached
}
