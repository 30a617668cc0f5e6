//! Evaluation: how well the team does on tasks it never trained on.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::episode::EpisodeRecord;
use crate::evaluate::{Estimate, difference, mean};
use crate::settings::EvalSettings;
use crate::task::Task;

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// After this many steps.
    pub step: u64,
    /// The score with its interval, clustered.
    pub score: Estimate,
    /// Score minus that of the untrained team on the same tasks.
    pub gain: Option<Estimate>,
    /// Mean of every reward term, raw.
    pub terms: BTreeMap<String, f64>,
    /// Mean total reward.
    pub reward: f64,
    /// Episodes that broke and are not part of the means.
    pub faults: usize,
    /// Mean score by cluster.
    pub clusters: BTreeMap<String, f64>,
    /// Mean score by task.
    #[serde(skip)]
    pub tasks: BTreeMap<String, f64>,
}

/// Scores the records of an evaluation; `None` where not one episode was sound.
pub(super) fn evaluate(
    step: u64,
    records: &[EpisodeRecord],
    tasks: &[Arc<Task>],
    settings: &EvalSettings,
    untrained: Option<&BTreeMap<String, f64>>,
) -> Option<Evaluation> {
    let by_id: BTreeMap<&str, &Task> = tasks.iter().map(|task| (task.id.as_str(), task.as_ref())).collect();
    let sound: Vec<&EpisodeRecord> = records.iter().filter(|record| record.is_sound()).collect();
    let cluster_of = |task: &str| {
        let text = settings.cluster.as_ref().and_then(|column| by_id.get(task)?.text(column));
        text.unwrap_or_else(|| task.to_owned())
    };
    let known: BTreeMap<&str, String> = sound.iter().map(|own| (own.task.as_str(), cluster_of(&own.task))).collect();
    let cluster = |task: &str| known.get(task).map_or("", String::as_str);
    let of = |record: &EpisodeRecord| score(record, settings.metric.as_deref());
    let estimate = mean(sound.iter().map(|record| (cluster(&record.task), of(record))))?;
    let clusters = means(sound.iter().map(|record| (cluster(&record.task), of(record))));
    let tasks = means(sound.iter().map(|record| (record.task.as_str(), of(record))));
    let count = sound.len() as f64;
    let mut terms: BTreeMap<String, f64> = BTreeMap::new();
    for term in sound.iter().filter_map(|record| record.reward.as_ref()).flat_map(|reward| &reward.terms) {
        *terms.entry(term.name.clone()).or_default() += term.raw / count;
    }
    let total = |record: &&EpisodeRecord| record.reward.as_ref().map_or(0.0, |reward| reward.total);
    Some(Evaluation {
        step,
        score: estimate,
        gain: untrained.and_then(|before| difference(before, &tasks, cluster)),
        terms,
        reward: sound.iter().map(total).sum::<f64>() / count,
        faults: records.len() - sound.len(),
        clusters,
        tasks,
    })
}

/// The mean of the numbers of each name.
fn means<'a>(numbers: impl Iterator<Item = (&'a str, f64)>) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for (name, number) in numbers {
        let (sum, count) = sums.entry(name.to_owned()).or_default();
        (*sum, *count) = (*sum + number, *count + 1.0);
    }
    sums.into_iter().map(|(name, (sum, count))| (name, sum / count)).collect()
}

/// The score of a sound episode: a term's raw value, or the total reward.
pub fn score(record: &EpisodeRecord, metric: Option<&str>) -> f64 {
    let Some(reward) = &record.reward else { return 0.0 };
    match metric {
        None => reward.total,
        Some(name) => reward.terms.iter().find(|term| term.name == name).map_or(0.0, |term| term.raw),
    }
}
