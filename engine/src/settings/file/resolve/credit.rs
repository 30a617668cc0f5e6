//! What the team file's `[credit]` means for a run: every rule and group takes effect, or is a problem that says what to use.

use std::collections::BTreeMap;

use marft_algorithms::preset::{Algorithm, CreditRule, Estimator};
use marft_topologies::Team;
use marft_topologies::check::Code;
use marft_topologies::source::{Span, Spanned};
use marft_topologies::spec::{CreditGroup, CreditRule as TeamRule, Named};

use super::agents::Roster;
use super::{Resolving, start};
use crate::reward::Attach;
use crate::settings::RewardSettings;

/// How agents come to learn from what they were paid themselves.
const PAYS_EACH: &str =
    "set `chain = \"agent\"` in the run file's `[algorithm]`, or `preset = \"at-grpo\"` or `\"rae\"`";

impl Resolving<'_> {
    /// Lays the team's rule of credit over the algorithms, and says which agents get all of the team's reward or none of it.
    pub(super) fn credit(
        &mut self,
        team: &Team,
        roster: &Roster,
        found: &mut BTreeMap<String, Algorithm>,
    ) -> BTreeMap<String, bool> {
        let credit = team.credit().clone();
        if let Some(group) = credit.group {
            self.group(group, found);
        }
        let Some(rule) = credit.rule else { return BTreeMap::new() };
        self.rule_stated_twice(rule, roster);
        let replays = match rule.value {
            TeamRule::Difference => CreditRule::Difference,
            TeamRule::Rollout => CreditRule::RolloutValue,
            TeamRule::Shared | TeamRule::Path | TeamRule::Own => return self.shares(team, rule, found),
        };
        if replays == CreditRule::Difference
            && let Some((label, _)) = found.iter().find(|(_, algorithm)| !algorithm.pays_each())
        {
            let message = format!(
                "`rule = \"difference\"` says what one agent was worth, and by the algorithm of `{label}` those before it are \
                 paid that too"
            );
            self.in_team_file(Code::BadCombination, message, rule.span, PAYS_EACH);
        }
        for algorithm in found.values_mut() {
            algorithm.credit = replays;
        }
        BTreeMap::new()
    }

    /// Who shares in what the team earned, where every agent is paid for itself.
    fn shares(
        &mut self,
        team: &Team,
        rule: Spanned<TeamRule>,
        found: &BTreeMap<String, Algorithm>,
    ) -> BTreeMap<String, bool> {
        let sharers = team.sharers();
        let mut shares: BTreeMap<String, bool> = BTreeMap::new();
        for (id, _) in team.agents() {
            let node = team.node(id);
            if found.contains_key(&node.label) {
                // whoever is asked in the employ of another speaks for it
                *shares.entry(node.label.clone()).or_default() |= sharers[id.index()] || node.employed;
            }
        }
        let linked = found.iter().find(|(_, algorithm)| !algorithm.pays_each());
        if let (Some((label, _)), TeamRule::Path | TeamRule::Own) = (linked, rule.value)
            && shares.values().any(|share| !share)
        {
            let message = format!(
                "`rule = \"{}\"` cannot be kept: by the algorithm of `{label}`, all agents are paid by what the team earned",
                rule.value.word()
            );
            self.in_team_file(Code::BadCombination, message, rule.span, PAYS_EACH);
        }
        // a chain of the whole team brings what was earned to all who spoke before
        shares.retain(|label, _| found.get(label).is_some_and(Algorithm::pays_each));
        shares
    }

    /// What is compared with what is the business of the estimator: it has to be the right one.
    fn group(&mut self, group: Spanned<CreditGroup>, found: &BTreeMap<String, Algorithm>) {
        use Estimator as E;
        let (fine, presets): (fn(Estimator) -> bool, _) = match group.value {
            CreditGroup::Task => (
                |own| matches!(own, E::Grpo | E::DrGrpo | E::Rloo | E::ReinforcePpBaseline | E::Magrpo),
                "\"grpo\"` or `\"rloo\"",
            ),
            CreditGroup::Agent => (|own| own == E::DrMas, "\"dr-mas\""),
            CreditGroup::Turn => (|own| own == E::AtGrpo, "\"at-grpo\""),
            CreditGroup::Observation => (|own| own == E::Gigpo, "\"gigpo\""),
        };
        if let Some((label, algorithm)) = found.iter().find(|(_, algorithm)| !fine(algorithm.estimator)) {
            let estimator = serde_json::to_value(algorithm.estimator).unwrap_or_default();
            let message = format!(
                "`group = \"{}\"` has no effect: the estimator of `{label}` is {estimator}, which compares otherwise",
                group.value.word()
            );
            self.in_team_file(
                Code::BadCombination,
                message,
                group.span,
                format!("set `preset = {presets}` in the run file, or leave `group` out"),
            );
        }
    }

    /// Reports `per-step` where the episode earns: it pays what turns and steps earned, and divides nothing.
    pub(super) fn per_step(&mut self, found: &BTreeMap<String, Algorithm>, reward: &[RewardSettings]) {
        let divides_nothing = found.values().any(|algorithm| algorithm.credit == CreditRule::PerStep);
        let Some(term) = reward.iter().find(|term| divides_nothing && term.attach == Attach::Episode) else { return };
        let typed = self.file.algorithm.as_ref();
        let keys = typed
            .iter()
            .flat_map(|typed| typed.settings.iter().chain(typed.agents.iter().flat_map(|(_, own)| own.0.iter())));
        let span = keys.filter(|(name, _)| name.value == "credit").map(|(_, value)| value.span).next();
        let message = format!(
            "`credit = \"per-step\"` pays what turns and steps earned, and `{}` is earned by the whole episode",
            term.name
        );
        let help = "use `credit = \"last-agent\"`, or attach the reward to a turn, an agent or the team";
        self.report(Code::BadCombination, message, span.unwrap_or_else(start), help);
    }

    /// Reports a rule of credit that both files state.
    fn rule_stated_twice(&mut self, rule: Spanned<TeamRule>, roster: &Roster) {
        let Some(typed) = &self.file.algorithm else { return };
        let own = typed.agents.iter().filter(|(name, _)| roster.learns(name)).map(|(_, own)| &own.0);
        let stated = std::iter::once(&typed.settings).chain(own).flat_map(Named::iter);
        let places: Vec<Span> = stated.filter(|(name, _)| name.value == "credit").map(|(name, _)| name.span).collect();
        for place in places {
            let message = format!("the team file says who is paid too: `rule = \"{}\"`", rule.value.word());
            self.report(Code::BadCombination, message, place, "keep one of them");
        }
    }
}
