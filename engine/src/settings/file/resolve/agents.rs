//! Who learns: the agents of the team, less those that are frozen or cannot.

use std::collections::BTreeMap;

use marft_topologies::Team;
use marft_topologies::check::Code;
use marft_topologies::team::PolicyKind;

use super::{Resolving, start};
use crate::settings::{ModelSettings, Sharing};

/// The agents of a team by label; replicas count once.
#[derive(Debug)]
pub(super) struct Roster {
    /// All agents, in declared order, each with the name of the weights it speaks with.
    pub(super) agents: Vec<(String, String)>,
    /// Agents that learn, in declared order.
    pub(super) learners: Vec<String>,
}

impl Roster {
    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        self.agents.iter().map(|(label, _)| label.as_str())
    }

    pub(super) fn learns(&self, label: &str) -> bool {
        self.learners.iter().any(|learner| learner == label)
    }

    /// The weights that an agent speaks with.
    pub(super) fn weights(&self, label: &str) -> Option<&str> {
        self.agents.iter().find(|(agent, _)| agent == label).map(|(_, weights)| weights.as_str())
    }
}

impl Resolving<'_> {
    /// Who learns.
    pub(super) fn agents(&mut self, team: &Team, model: &ModelSettings) -> Roster {
        let mut agents: Vec<(String, String)> = Vec::new();
        let mut able = BTreeMap::new();
        for (id, agent) in team.agents() {
            let label = &team.node(id).label;
            let policy = team.policy(agent.policy);
            *able.entry(label.clone()).or_insert(false) |= agent.trainable && policy.kind.is_local();
            if agents.iter().any(|(known, _)| known == label) {
                continue;
            }
            let weights = match model.weights {
                Sharing::Team => policy.name.clone(),
                Sharing::Shared | Sharing::Full => String::new(),
                Sharing::PerAgent => label.clone(),
            };
            agents.push((label.clone(), weights));
        }
        let frozen = |label: &String| model.frozen.contains(label);
        let learners = agents.iter().map(|(label, _)| label.clone()).filter(|label| able[label] && !frozen(label));
        let roster = Roster { learners: learners.collect(), agents };
        self.frozen(&roster, &able);
        self.policies(team, model);
        roster
    }

    /// Checks that what the team file says of its policies goes with the run's model.
    fn policies(&mut self, team: &Team, model: &ModelSettings) {
        let span = self.file.team.as_ref().map_or_else(start, |team| team.span);
        let typed = self.file.model.as_ref().and_then(|model| model.base.as_ref());
        let mut adapters = Vec::new();
        for policy in team.policies() {
            let PolicyKind::Local { base, adapter } = &policy.kind else { continue };
            let other = |base: &&String| **base != model.base && typed.is_none_or(|typed| typed.value != **base);
            if let Some(base) = base.as_ref().filter(other) {
                let message = format!(
                    "policy `{}` of the team is based on `{base}`, and the run on `{}`",
                    policy.name, model.base
                );
                self.report(Code::BadCombination, message, span, "all local policies of a run share one base");
            }
            adapters.extend(adapter.as_ref().map(|adapter| (&policy.name, adapter)));
        }
        match (adapters.as_slice(), model.weights) {
            ([(policy, _), ..], Sharing::Full) => {
                let message =
                    format!("policy `{policy}` of the team starts from an adapter, and `weights = \"full\"` has none");
                self.report(Code::BadCombination, message, span, "train adapters, or start from the base");
            }
            ([(first, one), rest @ ..], Sharing::Shared) if rest.iter().any(|(_, other)| other != one) => {
                let message =
                    format!("policy `{first}` of the team and others start from different adapters, and share one");
                self.report(Code::BadCombination, message, span, "let them start from the same, or share nothing");
            }
            _ => {}
        }
    }

    fn frozen(&mut self, roster: &Roster, able: &BTreeMap<String, bool>) {
        let Some(frozen) = self.file.model.as_ref().and_then(|model| model.frozen.as_ref()) else { return };
        for name in &frozen.0 {
            match able.get(&name.value) {
                None => self.unknown("agent", name, name.span, roster.labels()),
                Some(false) => {
                    let message = format!("freezing `{}` has no effect: it does not learn", name.value);
                    self.report(Code::BadCombination, message, name.span, "leave it out");
                }
                Some(true) => {
                    let weights = roster.weights(name);
                    let partner = roster.learners.iter().find(|other| roster.weights(other) == weights);
                    if let Some(partner) = partner {
                        let message = format!("`{}` is frozen, but `{partner}` trains its weights", name.value);
                        let help = format!("freeze `{partner}` too, or use `weights = \"per-agent\"`");
                        self.report(Code::BadCombination, message, name.span, help);
                    }
                }
            }
        }
    }
}
