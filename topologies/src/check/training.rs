//! Training: every trainable agent must be reached by some reward.

use super::{Code, Problem};
use crate::spec::{AttachPoint, CreditRule};
use crate::team::{NodeId, Team};

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
    let everyone = |at: AttachPoint, of: &[NodeId]| of.is_empty() && !matches!(at, AttachPoint::Agent);
    let team_wide = team.rewards().is_empty() || team.rewards().iter().any(|reward| everyone(reward.at, &reward.of));
    let named = team.rewards().iter().flat_map(|reward| reward.of.iter().copied()).collect();
    let upstream = team.credit().rule.as_deref() == Some(&CreditRule::Path);
    let mut reached = team.reached(named, upstream);
    if team_wide {
        reached.iter_mut().zip(team.sharers()).for_each(|(reached, shares)| *reached |= shares);
    }
    reached
}
