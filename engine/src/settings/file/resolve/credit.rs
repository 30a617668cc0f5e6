//! What the team file's `[credit]` means for a run: every rule and group takes effect, or is a problem that says what to use.

use std::collections::BTreeMap;

use marft_algorithms::preset::{Algorithm, CreditRule, Estimator, Linkage};
use marft_topologies::Team;
use marft_topologies::check::Code;
use marft_topologies::source::{Span, Spanned};
use marft_topologies::spec::{CreditGroup, CreditRule as TeamRule, Named};

use super::Resolving;
use super::agents::Roster;

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
        let linked = found.iter().find(|(_, algorithm)| !pays_each(algorithm));
        if let (Some((label, _)), TeamRule::Path | TeamRule::Own) = (linked, rule.value)
            && shares.values().any(|share| !share)
        {
            let message = format!(
                "`rule = \"{}\"` cannot be kept: by the algorithm of `{label}`, all agents are paid by what the team earned",
                rule.value.word()
            );
            let help =
                "set `chain = \"agent\"` in the run file's `[algorithm]`, or `preset = \"at-grpo\"` or `\"rae\"`";
            self.in_team_file(Code::BadCombination, message, rule.span, help);
        }
        // a chain of the whole team brings what was earned to all who spoke before
        shares.retain(|label, _| found.get(label).is_some_and(pays_each));
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

/// Whether what an agent learns from is what that agent was paid, and nobody else.
fn pays_each(algorithm: &Algorithm) -> bool {
    algorithm.chain == Linkage::Agent || matches!(algorithm.estimator, Estimator::AtGrpo | Estimator::Rae)
}
