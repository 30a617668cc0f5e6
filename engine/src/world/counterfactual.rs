//! Counterfactuals: the same episode with one agent silent or replaced, or its end played again. They answer how much an
//! agent, or a turn, was worth: difference rewards, leave-one-out, and values by roll-out.

use std::sync::Arc;

use super::opening::{Fork, Instead};
use crate::episode::EpisodeRecord;

/// The episode with an agent that says nothing from its first turn on; `None` where it never spoke.
pub fn without(record: &Arc<EpisodeRecord>, agent: &str) -> Option<Fork> {
    replaced(record, agent, Instead::Silent)
}

/// The episode with an agent that says something else from its first turn on; `None` where it never spoke.
pub fn replaced(record: &Arc<EpisodeRecord>, agent: &str, instead: Instead) -> Option<Fork> {
    let turn = record.turns.iter().position(|turn| *turn.agent == *agent)?;
    Some(Fork { record: Arc::clone(record), turn, instead: vec![(agent.to_owned(), instead)] })
}

/// The episode up to before `turn`, and live from there. Opened several times with different seeds, the mean of the totals
/// is the value of having come so far.
pub fn roll_out(record: &Arc<EpisodeRecord>, turn: usize) -> Fork {
    Fork { record: Arc::clone(record), turn, instead: vec![] }
}

/// What the difference between two episodes was worth; `None` where a fault kept one of them from being judged.
pub fn difference(real: &EpisodeRecord, counterfactual: &EpisodeRecord) -> Option<f64> {
    Some(total(real)? - total(counterfactual)?)
}

/// The mean total of those episodes that were judged; `None` where none was.
pub fn value(continuations: &[EpisodeRecord]) -> Option<f64> {
    let totals: Vec<f64> = continuations.iter().filter_map(total).collect();
    (!totals.is_empty()).then(|| totals.iter().sum::<f64>() / totals.len() as f64)
}

fn total(record: &EpisodeRecord) -> Option<f64> {
    record.is_sound().then_some(record.reward.as_ref()?.total)
}
