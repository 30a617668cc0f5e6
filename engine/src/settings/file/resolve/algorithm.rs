//! The algorithm of every agent that learns.

use std::collections::BTreeMap;

use marft_algorithms::Error;
use marft_algorithms::preset::{Algorithm, PresetError};
use marft_topologies::Team;
use marft_topologies::check::Code;
use marft_topologies::source::Span;
use marft_topologies::spec::{Json, Named};
use serde_json::{Map, Value};

use super::agents::Roster;
use super::{Resolving, kl_control, overlong, start};
use crate::learn::{KlTarget, needs_replays};
use crate::settings::kind::in_words;
use crate::settings::{ModelSettings, Sharing};

/// The preset where none is named.
const PRESET: &str = "marft-t";

/// Settings as typed, with where each was written.
pub(super) struct Given {
    pub(super) map: Map<String, Value>,
    places: BTreeMap<String, (Span, Span)>,
    whole: Span,
}

impl Given {
    fn new(whole: Span) -> Self {
        Self { map: Map::new(), places: BTreeMap::new(), whole }
    }

    fn add(&mut self, settings: &Named<Json>) {
        for (name, value) in settings.iter() {
            self.map.insert(name.value.clone(), value.value.0.clone());
            self.places.insert(name.value.clone(), (name.span, value.span));
        }
    }

    /// Adds a setting that stands inside another.
    pub(super) fn insert(&mut self, name: &str, value: Value, place: Span) {
        self.map.insert(name.to_owned(), value);
        self.places.insert(name.to_owned(), (place, place));
    }

    /// The key as it was written that stands for a setting; the setting's own where none was.
    fn written(&self, setting: &str) -> String {
        let written = self.places.keys().filter(|key| self.map.contains_key(*key));
        let stands = |key: &&String| {
            **key == setting
                || Algorithm::keys().iter().any(|(known, settings)| known == key && settings.contains(&setting))
        };
        written.into_iter().find(stands).cloned().unwrap_or_else(|| setting.to_owned())
    }

    /// The first key as it was written whose settings `text` names.
    fn named(&self, text: &str) -> Option<String> {
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let keys = Algorithm::keys();
        let named = |key: &&String| {
            let settings = keys.iter().find(|(known, _)| known == key).map(|(_, settings)| settings.as_slice());
            settings.is_some_and(|settings| settings.iter().any(|setting| words.contains(setting)))
        };
        self.places.keys().filter(|key| self.map.contains_key(*key)).find(named).cloned()
    }

    pub(super) fn key(&self, key: &str) -> Span {
        self.places.get(key).map_or(self.whole, |(key, _)| *key)
    }

    pub(super) fn value(&self, key: &str) -> Span {
        self.places.get(key).map_or(self.whole, |(_, value)| *value)
    }
}

impl Resolving<'_> {
    /// The algorithm of every agent that learns, by label.
    pub(super) fn algorithms(
        &mut self,
        team: &Team,
        roster: &Roster,
        model: &ModelSettings,
    ) -> (BTreeMap<String, Algorithm>, BTreeMap<String, KlTarget>) {
        let (mut found, mut targets) = (BTreeMap::new(), BTreeMap::new());
        let typed = self.file.algorithm.as_ref();
        let agents = typed.map(|typed| &typed.agents);
        for (name, _) in agents.into_iter().flat_map(Named::iter) {
            if roster.labels().all(|label| label != name.value) {
                self.unknown("agent", name, name.span, roster.labels());
            } else if !roster.learns(name) {
                let message = format!("the algorithm of `{}` has no effect: it does not learn", name.value);
                self.report(Code::BadCombination, message, name.span, "leave it out, or let the agent learn");
            }
        }
        if roster.learners.is_empty() {
            self.algorithm_alone();
        }
        let longest = overlong::longest_answer(team, roster);
        for label in &roster.learners {
            let own = agents.and_then(|agents| agents.iter().find(|(name, _)| &name.value == label));
            let mut given =
                self.common(own.is_some_and(|(_, own)| own.0.iter().any(|(name, _)| name.value == "preset")));
            if let Some((name, own)) = own {
                given.whole = name.span;
                given.add(&own.0);
            }
            if let Some((_, own)) = own {
                self.stated_twice(team, label, &own.0);
            }
            let place = given.key(kl_control::KEY);
            let target = self.kl_control(&mut given);
            let Some(algorithm) = self.algorithm(given, longest) else { continue };
            if let Some(target) = target {
                self.steers(&algorithm, place);
                targets.insert(label.clone(), target);
            }
            found.insert(label.clone(), algorithm);
        }
        self.order(&found, roster);
        self.overlong(&found, team);
        self.agreement(&found, roster, team);
        self.critic(&found, roster, model);
        match model.weights {
            Sharing::Full => self.reference(&found),
            _ => self.gentle(&found),
        }
        (found, targets)
    }

    /// Checks the algorithm where it is not known who learns.
    pub(super) fn algorithm_alone(&mut self) {
        let mut given = self.common(false);
        self.kl_control(&mut given);
        self.algorithm(given, None);
    }

    /// What holds for all agents; nothing for one that names a preset of its own.
    fn common(&self, afresh: bool) -> Given {
        let typed = self.file.algorithm.as_ref();
        let mut given = Given::new(typed.map_or_else(start, |typed| typed.span));
        given.map.insert("preset".to_owned(), PRESET.into());
        if let (Some(typed), false) = (typed, afresh) {
            given.add(&typed.settings);
        }
        given
    }

    /// Resolves one algorithm. What is at fault is reported and left out, so that all faults come at once.
    fn algorithm(&mut self, mut given: Given, longest: Option<u32>) -> Option<Algorithm> {
        let mut faults = false;
        let mut preset_known = true;
        loop {
            let error = match overlong::from_settings(&given.map, longest) {
                Ok(algorithm) => return (!faults).then_some(algorithm),
                Err(Error::Preset(error)) => error,
                Err(other) => {
                    self.report(Code::BadValue, other.to_string(), given.whole, "correct the algorithm's settings");
                    return None;
                }
            };
            faults = true;
            let culprit = match &error {
                PresetError::UnknownPreset { name, nearest } => {
                    let (message, help) =
                        (format!("there is no preset `{name}`"), format!("did you mean `{nearest}`?"));
                    self.report(Code::UnknownPreset, message, given.value("preset"), help);
                    preset_known = false;
                    "preset".to_owned()
                }
                PresetError::NoSuchDefaults { .. } => {
                    let help = "leave `defaults` out to use ours";
                    self.report(Code::UnknownPreset, head(&error), given.value("defaults"), help);
                    preset_known = false;
                    "defaults".to_owned()
                }
                PresetError::UnknownKey { key, nearest } => {
                    let help = format!("did you mean `{nearest}`?");
                    self.report(Code::UnknownKey, format!("unknown key `{key}`"), given.key(key), help);
                    key.clone()
                }
                PresetError::GivenTwice { first, second } => {
                    let message = format!("`{first}` and `{second}` are two names of one setting and disagree");
                    self.report(Code::BadCombination, message, given.key(second), "keep one of them");
                    second.clone()
                }
                PresetError::Value { key, value, reason } => {
                    let key = given.written(key);
                    let message = format!("`{key}` cannot be {value}: {}", in_words(reason));
                    self.report(Code::BadValue, message, given.value(&key), "correct it, or leave it out");
                    key
                }
                // What a preset reads cannot be told of an unknown one.
                PresetError::Unread { .. } | PresetError::Combination { .. } if !preset_known => return None,
                PresetError::Unread { key, reason } => {
                    let message = format!("`{key}` would have no effect: {reason}");
                    self.report(Code::BadCombination, message, given.key(key), "leave it out");
                    key.clone()
                }
                PresetError::Combination { what, hint } => {
                    let named = given.named(what).or_else(|| given.named(hint));
                    let span = named.as_ref().map_or(given.whole, |key| given.key(key));
                    self.report(Code::BadCombination, *what, span, *hint);
                    named?
                }
                other => {
                    self.report(Code::BadValue, other.to_string(), given.whole, "correct the algorithm's settings");
                    return None;
                }
            };
            given.map.remove(&culprit)?;
        }
    }

    /// Checks that agents agree where they must: on what the team does as one, and on the optimiser of shared weights.
    fn agreement(&mut self, found: &BTreeMap<String, Algorithm>, roster: &Roster, team: &Team) {
        let mut learners = roster.learners.iter().filter_map(|label| Some((label, found.get(label)?)));
        let Some((first, leader)) = learners.next() else { return };
        let fact = |value: &dyn std::fmt::Debug| format!("{value:?}");
        for (label, algorithm) in learners {
            let team = [
                ("group_size", fact(&leader.group_size), fact(&algorithm.group_size)),
                ("dynamic_sampling", fact(&leader.dynamic_sampling), fact(&algorithm.dynamic_sampling)),
                ("sampling_metric", fact(&leader.sampling_metric), fact(&algorithm.sampling_metric)),
                ("max_sampling_rounds", fact(&leader.max_sampling_rounds), fact(&algorithm.max_sampling_rounds)),
            ];
            let replays = [leader.credit, algorithm.credit].into_iter().all(needs_replays);
            let credit = ("credit", fact(&leader.credit), fact(&algorithm.credit));
            let team = team.into_iter().chain(replays.then_some(credit));
            for (key, one, other) in team.filter(|(_, one, other)| one != other) {
                let message =
                    format!("`{key}` is {one} for `{first}` and {other} for `{label}`: the team samples as one");
                let span = self.override_place(label).or(self.override_place(first)).unwrap_or_else(start);
                self.report(Code::BadCombination, message, span, format!("set `{key}` in `[algorithm]`"));
            }
        }
        for (at, label) in roster.learners.iter().enumerate() {
            let shared = |other: &&String| roster.weights(other) == roster.weights(label);
            let Some(partner) = roster.learners[..at].iter().find(shared) else { continue };
            let (Some(one), Some(other)) = (found.get(partner), found.get(label)) else { continue };
            let optimizer = |label: &str, algorithm: &Algorithm| {
                let stated = team_optimizer(team, label);
                let own = |key: &str, ours: f64| stated.iter().find(|(name, _)| *name == key).map_or(ours, |own| own.1);
                [
                    own("learning_rate", algorithm.learning_rate),
                    own("weight_decay", algorithm.weight_decay),
                    own("max_grad_norm", algorithm.max_grad_norm),
                    algorithm.adam_eps,
                ]
            };
            if optimizer(partner, one) != optimizer(label, other) {
                let message = format!("`{partner}` and `{label}` share weights, but not learning rate, decay and clip");
                let span = self.override_place(label).or(self.override_place(partner)).unwrap_or_else(start);
                self.report(Code::BadCombination, message, span, "give both the same, or weights of their own");
            }
        }
    }

    /// Reports what both files state of one agent's optimiser.
    fn stated_twice(&mut self, team: &Team, label: &str, own: &Named<Json>) {
        for (key, value) in team_optimizer(team, label) {
            let means = |name: &str| {
                name == key || Algorithm::keys().iter().any(|(known, settings)| *known == name && *settings == [key])
            };
            if let Some((name, _)) = own.iter().find(|(name, _)| means(name)) {
                let message = format!("the team file states `{key}` of `{label}` too: {value}");
                self.report(Code::BadCombination, message, name.span, "keep one of them");
            }
        }
    }

    /// Where one of these keys of an agent's algorithm is written.
    pub(super) fn algorithm_place(&self, label: &str, keys: &[&str]) -> Option<Span> {
        let typed = self.file.algorithm.as_ref()?;
        let own = typed.agents.iter().filter(|(name, _)| name.value == label).flat_map(|(_, own)| own.0.iter());
        let mut written = own.chain(typed.settings.iter());
        written.find(|(name, _)| keys.contains(&name.value.as_str())).map(|(_, value)| value.span)
    }

    /// Where an agent's own algorithm is written.
    fn override_place(&self, label: &str) -> Option<Span> {
        let agents = &self.file.algorithm.as_ref()?.agents;
        agents.iter().find(|(name, _)| name.value == label).map(|(name, _)| name.span)
    }

    /// Settings of a critic need an estimator that has one.
    fn critic(&mut self, found: &BTreeMap<String, Algorithm>, roster: &Roster, model: &ModelSettings) {
        let Some(critic) = self.file.model.as_ref().and_then(|model| model.critic.as_ref()) else { return };
        // An algorithm with a problem may have meant one.
        let known = found.len() == roster.learners.len();
        if known && !found.values().any(Algorithm::needs_critic) {
            let message = "settings of a critic have no effect: no agent's algorithm has one";
            self.report(Code::BadCombination, message, critic.span, "leave `[model.critic]` out, or use `gae`");
        }
        if let (Some(per_agent), 1) = (&critic.per_agent, roster.learners.len())
            && model.critic.per_agent
        {
            let message = "`per_agent` has no effect: one agent learns";
            self.report(Code::BadCombination, message, per_agent.span, "leave it out");
        }
    }

    /// A divergence is measured from the weights as a stage found them: adapters can be held twice, a base cannot.
    fn reference(&mut self, found: &BTreeMap<String, Algorithm>) {
        if let Some((label, _)) = found.iter().find(|(_, algorithm)| algorithm.needs_reference()) {
            let weights = self.file.model.as_ref().and_then(|model| model.weights.as_ref());
            let message = format!("`{label}` is held near a reference, and with `weights = \"full\"` there is none");
            let help = "train adapters, or set `kl_loss_coef` and `kl_reward_coef` to 0";
            self.report(Code::BadCombination, message, weights.map_or_else(start, |weights| weights.span), help);
        }
    }

    /// Warns of rates that are made for full weights.
    fn gentle(&mut self, found: &BTreeMap<String, Algorithm>) {
        let slow: Vec<_> = found.iter().filter(|(_, algorithm)| algorithm.learning_rate < 1e-5).collect();
        if let Some((label, algorithm)) = slow.first() {
            self.warnings.push(format!(
                "the learning rate of `{label}` is {:e}, a rate for full weights; adapters usually want about 1e-4",
                algorithm.learning_rate
            ));
        }
    }
}

/// The settings of an optimiser that a team file may state for an agent, with their names here.
fn team_optimizer(team: &Team, label: &str) -> Vec<(&'static str, f64)> {
    let agent = team.agents().find(|(id, _)| team.node(*id).label == label);
    let Some(optimizer) = agent.and_then(|(_, agent)| agent.optimizer) else { return Vec::new() };
    let stated =
        [("learning_rate", optimizer.lr), ("weight_decay", optimizer.weight_decay), ("max_grad_norm", optimizer.clip)];
    stated.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// An error's message up to its hint.
fn head(error: &PresetError) -> String {
    let text = error.to_string();
    text.split_once(": ").map_or(text.clone(), |(head, _)| head.to_owned())
}
