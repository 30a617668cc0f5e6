//! The reward, term by term.

use marft_topologies::Team;
use marft_topologies::check::{Code, Problem};
use marft_topologies::source::{Span, Spanned};
use marft_topologies::spec::{AttachPoint, Json, Named};
use marft_topologies::team::Reward;

use super::data::Data;
use super::{Resolving, or, start};
use crate::reward::{Attach, Evidence, Gate, RewardFault, RewardTerm};
use crate::settings::file::typed::{AttachWord, RewardFile};
use crate::settings::{Kind, KindError, RewardSettings};

/// Built-in kinds that compare with nothing.
const WITHOUT_GOLD: &[&str] = &["format", "length"];

impl Resolving<'_> {
    /// The reward of the run.
    pub(super) fn reward(&mut self, team: Option<&Team>, data: &Data) -> Vec<RewardSettings> {
        let mut terms: Vec<RewardSettings> = Vec::new();
        for typed in self.file.reward.iter().flat_map(|terms| terms.iter()) {
            if let Some(term) = self.term(typed, team, data, &terms) {
                terms.push(term);
            }
        }
        let environment = self.file.task.as_ref().and_then(|task| task.environment.as_ref());
        let kind = environment.and_then(|environment| environment.keys.kind.as_ref());
        let pays = kind.is_some_and(|kind| kind.value != "question");
        let span = self.file.reward.as_ref().map_or_else(start, |reward| reward.span);
        if !pays && self.file.reward.as_ref().is_none_or(|reward| reward.is_empty()) {
            self.report(Code::MissingKey, "no reward is named", span, "add `[[reward]]` with a `kind`");
        } else if !pays && !terms.is_empty() && terms.iter().all(|term| term.weight == 0.0) {
            self.report(Code::BadValue, "every reward has the weight 0", span, "give one a weight");
        }
        if let Some(team) = team {
            self.declared(team, &terms, span);
        }
        terms
    }

    /// One term; `None` where it has no kind, which has been reported.
    fn term(
        &mut self,
        typed: &Spanned<RewardFile>,
        team: Option<&Team>,
        data: &Data,
        earlier: &[RewardSettings],
    ) -> Option<RewardSettings> {
        let keys = &typed.keys;
        let kind = keys.kind.as_ref()?;
        let (name, name_span) = keys.name.as_ref().map_or((&kind.value, kind.span), |name| (&name.value, name.span));
        if earlier.iter().any(|term| &term.name == name) {
            let help = "give each a `name` of its own: it tells them apart in the logs";
            self.report(Code::DuplicateId, format!("two rewards are called `{name}`"), name_span, help);
        }
        let declared = team.and_then(|team| team.rewards().iter().find(|reward| &reward.name == name));
        let (settings, made) = self.kind_of_term(kind, &typed.rest);
        let attach = keys.attach.as_ref().map(|word| match word.value {
            AttachWord::Turn => Attach::Turn,
            AttachWord::Agent => Attach::Agent,
            AttachWord::Team => Attach::Team,
            AttachWord::Episode => Attach::Episode,
        });
        let mut term = RewardSettings {
            name: name.clone(),
            term: settings,
            weight: or(keys.weight.as_ref(), declared.map_or(1.0, |declared| declared.weight)),
            gate: keys.gate.as_ref().and_then(|gate| {
                let term = gate.term.as_ref()?;
                if !earlier.iter().any(|earlier| earlier.name == term.value) {
                    self.not_earlier(term, earlier);
                }
                Some(Gate { term: term.value.clone(), above: or(gate.above.as_ref(), 0.0) })
            }),
            of: keys.of.as_ref().map(|of| of.value.clone()),
            gold: keys.gold.as_ref().map_or_else(|| "answer".to_owned(), |gold| gold.value.clone()),
            attach: attach.or(declared.map(|declared| attach_of(declared.at))).unwrap_or_default(),
        };
        if let (Some(team), Some(declared)) = (team, declared) {
            self.paid(&mut term, declared, team, name_span);
        }
        if let Some(team) = team {
            self.judged(&term, typed, team);
        }
        self.gold(&term, typed, made.as_deref(), data);
        Some(term)
    }

    /// Reports a gate that names no earlier term.
    fn not_earlier(&mut self, name: &Spanned<String>, earlier: &[RewardSettings]) {
        let mut all = self.file.reward.iter().flat_map(|terms| terms.iter());
        if all.any(|term| term.keys.name.as_ref().or(term.keys.kind.as_ref()).is_some_and(|later| later == name)) {
            let message = format!("the reward `{}` does not stand before the one it gates", name.value);
            self.report(Code::DanglingReference, message, name.span, "put it first: rewards are computed in order");
        } else {
            self.unknown("reward", name, name.span, earlier.iter().map(|term| term.name.as_str()));
        }
    }

    fn kind_of_term(&mut self, kind: &Spanned<String>, rest: &Named<Json>) -> (Kind, Option<Box<dyn RewardTerm>>) {
        let pairs = rest.iter().map(|(name, value)| (name.value.clone(), value.value.0.clone()));
        let mut settings = Kind { kind: kind.value.clone(), settings: pairs.collect() };
        while let Some(made) = self.registry.rewards.make(&settings) {
            match made {
                Ok(term) => return (settings, Some(term)),
                Err(error) if self.kind_fault(&error, rest, kind.span, &mut settings) => {}
                Err(_) => return (settings, None),
            }
        }
        let registry = self.registry;
        self.unknown("kind of reward", &kind.value, kind.span, registry.rewards.kinds());
        (settings, None)
    }

    /// Reports what a kind refuses and takes it out of the settings; false where nothing can be taken out.
    pub(super) fn kind_fault(
        &mut self,
        error: &KindError,
        rest: &Named<Json>,
        whole: Span,
        settings: &mut Kind,
    ) -> bool {
        let entry = error.key.as_ref().and_then(|key| rest.iter().find(|(name, _)| &name.value == key));
        let Some((name, value)) = entry else {
            // A key that was taken out before may be missing now; it has been reported.
            let taken = rest.iter().count() > settings.settings.len();
            if !taken {
                let code = if error.message.starts_with("missing") { Code::MissingKey } else { Code::BadValue };
                let message = format!("`{}`: {}", settings.kind, error.message);
                self.problems.push(with_help(Problem::new(code, message, whole), error));
            }
            return false;
        };
        let problem = if error.message.starts_with("unknown key") {
            Problem::new(Code::UnknownKey, error.message.clone(), name.span)
        } else {
            Problem::new(Code::BadValue, format!("`{}`: {}", name.value, error.message), value.span)
        };
        self.problems.push(with_help(problem, error));
        settings.settings.remove(&name.value).is_some()
    }

    /// Checks that a term pays whom the team file says: a run pays the agent whose words it judges.
    fn paid(&mut self, term: &mut RewardSettings, declared: &Reward, team: &Team, span: Span) {
        let mut labels: Vec<&str> = declared.of.iter().map(|id| team.node(*id).label.as_str()).collect();
        labels.dedup();
        let judged = term.of.as_deref().map(|of| of.split('.').next().unwrap_or(of));
        match (labels.as_slice(), term.attach) {
            ([], _) => {}
            ([only], Attach::Agent | Attach::Turn) if judged.is_none_or(|judged| judged == *only) => {
                term.of.get_or_insert_with(|| (*only).to_owned());
            }
            _ => {
                let message = format!("the team file pays `{}` to `{}`", term.name, labels.join("` and `"));
                let help = "a run pays the agent that `of` names, with `attach = \"agent\"` or \"turn\"";
                self.report(Code::BadCombination, message, span, help);
            }
        }
    }

    /// Checks whose words a term judges and whom it pays.
    fn judged(&mut self, term: &RewardSettings, typed: &RewardFile, team: &Team) {
        let Some(of) = &typed.keys.of else {
            let kind = typed.keys.kind.as_ref().map_or_else(start, |kind| kind.span);
            if matches!(term.attach, Attach::Agent | Attach::Turn) && term.of.is_none() {
                let span = typed.keys.attach.as_ref().map_or(kind, |attach| attach.span);
                let message = format!("`{}` is to be paid to an agent and is not told to whom", term.name);
                self.report(Code::BadCombination, message, span, "add `of = AGENT`");
            }
            if term.term.kind == "length" && term.of.is_none() {
                let span = kind;
                let message = "`length` counts the tokens of one agent's turn and is not told whose";
                self.report(Code::MissingKey, message, span, "add `of = AGENT`");
            }
            return;
        };
        let (label, field) = of.split_once('.').map_or((of.as_str(), None), |(label, field)| (label, Some(field)));
        let nodes: Vec<_> = team.nodes().iter().filter(|node| node.label == label && node.inner().is_none()).collect();
        if nodes.is_empty() {
            let labels = team.nodes().iter().filter(|node| node.inner().is_none()).map(|node| node.label.as_str());
            self.unknown("agent or function", label, of.span, labels);
            return;
        }
        let agents: Vec<_> = nodes.iter().filter_map(|node| node.agent()).collect();
        if let Some(field) = field {
            let fields = || agents.iter().flat_map(|agent| agent.output.fields.iter().map(|field| field.name.as_str()));
            if !agents.is_empty() && !fields().any(|known| known == field) {
                self.unknown(&format!("output field of `{label}` named"), field, of.span, fields());
            }
        }
        if let (Attach::Agent | Attach::Turn, []) = (term.attach, agents.as_slice()) {
            let message = format!("`{label}` is no agent, and nothing can be paid to it");
            self.report(Code::BadCombination, message, of.span, "attach it to the team or the episode");
        }
    }

    /// Checks that the gold answers are there, where they are read.
    fn gold(&mut self, term: &RewardSettings, typed: &RewardFile, made: Option<&dyn RewardTerm>, data: &Data) {
        let gold = typed.keys.gold.as_ref();
        if let (Some(gold), true) = (gold, WITHOUT_GOLD.contains(&term.term.kind.as_str())) {
            let message = format!("`gold` has no effect: `{}` compares with nothing", term.term.kind);
            self.report(Code::BadCombination, message, gold.span, "leave it out");
            return;
        }
        // A term that faults without gold answers is one that reads them.
        let nothing = Evidence { answer: Some(""), gold: &[], tokens: 0 };
        let reads = made.is_some_and(|made| made.score(&nothing) == Err(RewardFault::NoGold));
        let kind = typed.keys.kind.as_ref().map_or_else(start, |kind| kind.span);
        if reads {
            let span = gold.map_or(kind, |gold| gold.span);
            self.full_column(data, &term.gold, span, "no answer", |row| !row.answers(&term.gold).is_empty());
        } else if let Some(gold) = gold {
            self.column(data, gold, gold.span);
        }
    }

    /// Checks that the rewards which the team file declares are those that the run computes.
    fn declared(&mut self, team: &Team, terms: &[RewardSettings], span: Span) {
        if team.rewards().is_empty() {
            return;
        }
        for declared in team.rewards() {
            if !terms.iter().any(|term| term.name == declared.name) {
                let message = format!("the team declares the reward `{}`, and nothing computes it", declared.name);
                let help = format!("add `[[reward]]` with `name = \"{}\"`", declared.name);
                self.report(Code::MissingKey, message, span, help);
            }
        }
        for typed in self.file.reward.iter().flat_map(|terms| terms.iter()) {
            let Some(name) = typed.keys.name.as_ref().or(typed.keys.kind.as_ref()) else { continue };
            if !team.rewards().iter().any(|declared| declared.name == name.value) {
                let names = team.rewards().iter().map(|declared| declared.name.as_str());
                self.unknown("reward in the team file named", name, name.span, names);
            }
        }
    }
}

fn with_help(problem: Problem, error: &KindError) -> Problem {
    match &error.help {
        Some(help) => problem.help(help),
        None => problem,
    }
}

/// Where a reward lands that the team file declares.
fn attach_of(at: AttachPoint) -> Attach {
    match at {
        AttachPoint::Token | AttachPoint::Turn => Attach::Turn,
        AttachPoint::Agent => Attach::Agent,
        AttachPoint::Team => Attach::Team,
        AttachPoint::Episode => Attach::Episode,
    }
}
