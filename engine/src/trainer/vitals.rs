//! Vitals: what warnings are drawn from.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::measures::{broken_by, invalid, share};
use super::rollout::groups;
use crate::episode::{EpisodeRecord, FaultKind, TurnRecord};
use crate::learn::LearnReport;
use crate::metrics::Vitals;
use crate::task::Task;

/// What warnings are drawn from; numbers that are not finite count as 0.
pub(super) fn vitals(
    records: &[EpisodeRecord],
    samples: u32,
    report: &LearnReport,
    tasks: &[Arc<Task>],
    gold: &str,
) -> Vitals {
    let sound: Vec<&EpisodeRecord> = records.iter().filter(|record| record.is_sound()).collect();
    let total = |record: &&EpisodeRecord| record.reward.as_ref().map_or(0.0, |reward| reward.total);
    let turns: Vec<&TurnRecord> = records.iter().flat_map(|record| &record.turns).collect();
    let tokens: usize = turns.iter().map(|turn| turn.tokens).sum();
    let cut = turns.iter().filter(|turn| turn.finish == "max_tokens").count();
    let learnt = report.policies.values().filter(|policy| policy.tokens > 0);
    let entropies: Vec<f64> = learnt.map(|policy| policy.entropy).collect();
    let answers = sound.iter().filter_map(|record| record.turns.last()).map(|turn| turn.text.trim().to_lowercase());
    let golds = tasks.iter().filter_map(|task| task.answers(gold).into_iter().next());
    let finite = |number: f64| if number.is_finite() { number } else { 0.0 };
    Vitals {
        reward: finite(sound.iter().map(total).sum::<f64>() / sound.len().max(1) as f64),
        uniform_groups: uniform(records, samples),
        entropy: finite(entropies.iter().sum::<f64>() / entropies.len().max(1) as f64),
        commonest_answer: commonest(answers),
        commonest_gold: commonest(golds.map(|gold| gold.to_lowercase())),
        length: share(tokens, turns.len()),
        truncated: share(cut, turns.len()),
        invalid: invalid(&turns),
        faults: share(records.len() - sound.len(), records.len()),
        judge_faults: share(broken_by(records, FaultKind::Reward), records.len()),
        dropped: report.bad_updates,
        logprob_gap: finite(report.logprob_gap),
    }
}

/// Share of the groups of several episodes in which all earned the same; of the whole step, where tasks are sampled once.
fn uniform(records: &[EpisodeRecord], samples: u32) -> f64 {
    let total = |at: usize| records[at].reward.as_ref().map_or(0.0, |reward| reward.total);
    let mut groups: Vec<Vec<usize>> = groups(records).into_values().collect();
    if samples < 2 {
        groups = vec![groups.concat()];
    }
    groups.retain(|group| group.len() > 1);
    let alike = groups.iter().filter(|group| group.iter().all(|at| total(*at) == total(group[0]))).count();
    share(alike, groups.len())
}

/// The share of the most frequent text.
fn commonest(texts: impl Iterator<Item = String>) -> f64 {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    texts.for_each(|text| *counts.entry(text).or_default() += 1);
    share(counts.values().copied().max().unwrap_or(0), counts.values().sum())
}
