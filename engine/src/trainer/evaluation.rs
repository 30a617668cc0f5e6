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
    let cluster = |record: &EpisodeRecord| -> String {
        let column = settings.cluster.as_ref();
        let text = column.and_then(|column| by_id.get(record.task.as_str()).and_then(|task| task.text(column)));
        text.unwrap_or_else(|| record.task.clone())
    };
    let sound: Vec<&EpisodeRecord> = records.iter().filter(|record| record.is_sound()).collect();
    let scored: Vec<(String, f64)> =
        sound.iter().map(|record| (cluster(record), score(record, settings.metric.as_deref()))).collect();
    let estimate = mean(scored.iter().map(|(cluster, score)| (cluster.as_str(), *score)))?;
    let mut clusters: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for (cluster, score) in &scored {
        let (sum, count) = clusters.entry(cluster.clone()).or_default();
        (*sum, *count) = (*sum + score, *count + 1.0);
    }
    let clusters: BTreeMap<String, f64> =
        clusters.into_iter().map(|(cluster, (sum, count))| (cluster, sum / count)).collect();
    let count = sound.len() as f64;
    let mut terms: BTreeMap<String, f64> = BTreeMap::new();
    for term in sound.iter().filter_map(|record| record.reward.as_ref()).flat_map(|reward| &reward.terms) {
        *terms.entry(term.name.clone()).or_default() += term.raw / count;
    }
    let total = |record: &&EpisodeRecord| record.reward.as_ref().map_or(0.0, |reward| reward.total);
    Some(Evaluation {
        step,
        score: estimate,
        gain: untrained.and_then(|before| difference(before, &clusters)),
        terms,
        reward: sound.iter().map(total).sum::<f64>() / count,
        faults: records.len() - sound.len(),
        clusters,
    })
}

/// The score of a sound episode: a term's raw value, or the total reward.
pub fn score(record: &EpisodeRecord, metric: Option<&str>) -> f64 {
    let Some(reward) = &record.reward else { return 0.0 };
    match metric {
        None => reward.total,
        Some(name) => reward.terms.iter().find(|term| term.name == name).map_or(0.0, |term| term.raw),
    }
}
