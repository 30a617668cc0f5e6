//! `sampling_metric`: the reward term that dynamic sampling looks at is one of the run's.

use std::collections::BTreeMap;

use marft_algorithms::preset::Algorithm;

use super::{Resolving, start};
use crate::settings::RewardSettings;

impl Resolving<'_> {
    /// Reports a term that the reward does not have.
    pub(super) fn sampling_metric(&mut self, found: &BTreeMap<String, Algorithm>, reward: &[RewardSettings]) {
        let named = found.iter().find_map(|(label, algorithm)| Some((label, algorithm.sampling_metric.as_ref()?)));
        let Some((label, metric)) = named.filter(|(_, metric)| reward.iter().all(|term| term.name != **metric)) else {
            return;
        };
        let place = self.algorithm_place(label, &["sampling_metric", "filter_groups"]).unwrap_or_else(start);
        self.unknown("reward term", metric, place, reward.iter().map(|term| term.name.as_str()));
    }
}
