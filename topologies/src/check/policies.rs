//! Policies: tools are declared to a server only where somebody who speaks through it has some.

use super::{Code, Problem};
use crate::team::{PolicyKind, Team};

pub(super) fn check(team: &Team, problems: &mut Vec<Problem>) {
    for (at, policy) in team.policies().iter().enumerate() {
        let PolicyKind::Remote { native_tools, .. } = &policy.kind else { continue };
        let calls = team.agents().any(|(_, agent)| agent.policy.index() == at && !agent.tools.is_empty());
        if native_tools.value && !calls {
            let message = format!("`native_tools` has no effect: no agent of policy `{}` has tools", policy.name);
            let help = "leave it out, or add `tools = [\"…\"]` to an agent";
            problems.push(Problem::new(Code::BadCombination, message, native_tools.span).help(help));
        }
    }
}
