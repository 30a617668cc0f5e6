//! The overlong penalty: its limit is that of the agents where none is typed, and it has to be within their reach.

use std::collections::BTreeMap;

use marft_algorithms::Error;
use marft_algorithms::preset::{Algorithm, PresetError};
use marft_topologies::Team;
use marft_topologies::check::Code;
use serde_json::{Map, Value};

use super::agents::Roster;
use super::{Resolving, start};

const LIMIT: &str = "max_completion_length";
const BUFFER: &str = "overlong_buffer";

/// Most tokens of an answer of an agent.
fn most_tokens(team: &Team, label: &str) -> u32 {
    let own = team.agents().filter(|(id, _)| team.node(*id).label == label);
    own.map(|(_, agent)| agent.sampling.max_tokens).max().unwrap_or(0)
}

/// Most tokens of an answer of any agent that learns; `None` where nobody does.
pub(super) fn longest_answer(team: &Team, roster: &Roster) -> Option<u32> {
    roster.learners.iter().map(|label| most_tokens(team, label)).max()
}

/// The names of a setting of the algorithm.
fn names(setting: &str) -> Vec<&'static str> {
    let keys = Algorithm::keys().into_iter().filter(|(_, settings)| settings.contains(&setting));
    keys.map(|(key, _)| key).collect()
}

/// An algorithm from its settings. Where it penalises answers near their limit and none is typed, that is `longest`.
pub(super) fn from_settings(settings: &Map<String, Value>, longest: Option<u32>) -> Result<Algorithm, Error> {
    let plain = Algorithm::from_settings(settings);
    let penalises = match &plain {
        Ok(algorithm) => algorithm.overlong_buffer.is_some(),
        // what is too large for the limit that nobody typed may fit the agents'
        Err(Error::Preset(PresetError::Value { key, .. })) => key == BUFFER,
        Err(_) => false,
    };
    let typed = names(LIMIT).iter().any(|name| settings.contains_key(*name));
    let Some(longest) = longest.filter(|_| penalises && !typed) else { return plain };
    let mut settings = settings.clone();
    settings.insert(LIMIT.to_owned(), longest.into());
    Algorithm::from_settings(&settings)
}

impl Resolving<'_> {
    /// Reports a penalty that begins where no agent ever gets.
    pub(super) fn overlong(&mut self, found: &BTreeMap<String, Algorithm>, team: &Team) {
        let free = |algorithm: &Algorithm| Some(algorithm.max_completion_length - algorithm.overlong_buffer?);
        let limits: Vec<(&String, u32, u32)> = found
            .iter()
            .filter_map(|(label, algorithm)| Some((label, free(algorithm)?, most_tokens(team, label))))
            .collect();
        let reached = |(_, free, most): &(&String, u32, u32)| free < most;
        let Some((label, free, most)) = limits.first().filter(|_| !limits.iter().any(reached)) else { return };
        let message = format!(
            "the overlong penalty would have no effect: it begins behind {free} tokens, and `{label}` says {most} at most"
        );
        let mut keys = names(LIMIT);
        keys.extend(names(BUFFER));
        let place = self.algorithm_place(label, &keys).unwrap_or_else(start);
        let help = format!("leave `{LIMIT}` out to take the agents' `max_tokens`, or raise `{BUFFER}`");
        self.report(Code::BadCombination, message, place, help);
    }
}
