//! Rewards and credit of the whole file.

use super::body::Body;
use super::{Lowering, or};
use crate::check::Code;
use crate::spec::{AttachPoint, TeamSpec};
use crate::team::{Credit, Reward};

impl Lowering<'_> {
    pub(super) fn training(&mut self, file: &TeamSpec, body: &Body<'_>) {
        for (name, spec) in file.rewards.iter().flat_map(|rewards| rewards.iter()) {
            let at = or(spec.at.as_ref(), AttachPoint::Team);
            let mut of = Vec::new();
            for agent in spec.of.iter().flat_map(|of| of.iter()) {
                if let Some(group) = body.scope.resolve(agent, &mut self.problems) {
                    of.extend(group.nodes());
                }
            }
            if of.is_empty() && spec.of.is_none() && matches!(at, AttachPoint::Agent) {
                self.report(
                    Code::MissingKey,
                    "`of` is missing",
                    name.span,
                    "name the agents that the reward is paid to",
                );
            }
            let weight = or(spec.weight.as_ref(), 1.0);
            self.team.rewards.push(Reward { name: name.value.clone(), at, of, weight });
        }
        if let Some(credit) = &file.credit {
            self.team.credit = Credit { rule: credit.rule, group: credit.group };
        }
    }
}
