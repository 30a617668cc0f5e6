//! Agents whose answers are held to a form: whether a model on a device can follow it, and whether they can learn.
//!
//! An answer is drawn from what the form leaves of the policy, and learnt with the log-probabilities of the policy itself, on
//! both sides: those that the sampler wrote down and those that the trainer computes, which knows no forms. So ratios begin at 1
//! and gaps between sampler and trainer mean what they mean elsewhere. The sampler knows them at temperature 1 alone.

use std::collections::BTreeSet;

use marft_agents::parse::Form;
use marft_topologies::Team;
use marft_topologies::check::Code;
use marft_topologies::team::Agent;

use super::Resolving;
use super::agents::Roster;
use crate::settings::Stage;

impl Resolving<'_> {
    /// Checks the forms of the team's agents, each agent once.
    pub(super) fn constraints(&mut self, team: &Team, roster: &Roster, stages: &[Stage]) {
        let reinforces = stages.iter().any(|stage| matches!(stage, Stage::Rl(_)));
        let mut known = BTreeSet::new();
        for (id, agent) in team.agents() {
            let label = &team.node(id).label;
            if agent.constraint.is_some() && known.insert(label) && team.policy(agent.policy).kind.is_local() {
                self.can_follow(agent);
                if reinforces && roster.learns(label) {
                    self.can_learn(label, agent);
                }
            }
        }
    }

    fn can_follow(&mut self, agent: &Agent) {
        let Some(constraint) = &agent.constraint else { return };
        if let Err(reason) = Form::from(&constraint.value).check() {
            let known = "a form is a regular expression without look-around, as `\\b` is, or a JSON Schema of what llguidance knows";
            let help =
                if Form::FOLLOWED { known } else { "take a build with that feature, as every one is by default" };
            self.in_team_file(Code::BadValue, reason, constraint.span, help);
        }
    }

    fn can_learn(&mut self, label: &str, agent: &Agent) {
        let (Some(constraint), temperature) = (&agent.constraint, agent.sampling.temperature) else { return };
        if temperature != 1.0 {
            let message = format!(
                "`{label}` learns and is held to a form, but samples at temperature {temperature}: what its policy would have \
                 said without the form is known at temperature 1 alone"
            );
            let help = "sample at temperature 1, freeze it, or leave `constrain` out";
            self.in_team_file(Code::BadCombination, message, constraint.span, help);
        }
    }
}
