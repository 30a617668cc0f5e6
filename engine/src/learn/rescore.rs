//! What only the device knows of a batch: values, the trainer's own log-probabilities, and those of the reference.

use marft_agents::device::DeviceHandle;
use marft_agents::generate::PolicyId;
use marft_agents::train::commands::CommandError;
use marft_agents::train::{PassOptions, PolicyTable, SequenceScores, TrainSequence};
use marft_algorithms::preset::{LossKind, Rescale};

use super::gather::Gathered;
use super::{Cohort, LearnError};

/// The reference policy of a policy: its weights as they were when the stage began.
pub const fn reference_of(policy: PolicyId) -> PolicyId {
    PolicyId(policy.0 | 1 << 31)
}

/// Scores of the rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rescored {
    /// The trainer's log-probabilities per turn, where they are wanted in place of the sampler's.
    pub(super) logprobs: Option<Vec<Vec<f32>>>,
    /// The reference's, per turn.
    pub(super) reference: Option<Vec<Vec<f32>>>,
    /// Entropies of the tokens, per turn, where advantages are weighed by them; nats.
    pub(super) entropies: Option<Vec<Vec<f32>>>,
    /// Values before each token, per turn.
    pub(super) values: Option<Vec<Vec<f32>>>,
    /// Value after the last turn of each episode that was cut off; 0 for the others and without a critic.
    pub(super) bootstraps: Vec<f32>,
}

/// Asks the device for what the algorithm of `cohort` needs. `truncated` says which episodes were cut off.
pub(super) fn rescore(
    handle: &DeviceHandle<PolicyTable>,
    cohort: &Cohort,
    gathered: &Gathered,
    truncated: &[bool],
    recompute: bool,
    pass: PassOptions,
) -> Result<Rescored, LearnError> {
    let algorithm = &cohort.algorithm;
    let own = recompute || algorithm.loss == LossKind::Decoupled || algorithm.sampler_weight_max.is_some();
    let mut rescored = Rescored { bootstraps: vec![0.0; truncated.len()], ..Rescored::default() };
    let as_sampled = |row: usize| gathered.rows[row].sequence.clone();
    let hesitation = algorithm.rescale == Rescale::Entropy;
    if own || hesitation || cohort.critic.is_some() {
        let scores = score(handle, cohort, gathered, pass, |row| Some(as_sampled(row)))?;
        rescored.values = cohort.critic.map(|_| by_turn(gathered, &scores, |score| score.values.as_deref()));
        rescored.logprobs = own.then(|| by_turn(gathered, &scores, |score| Some(&score.logprobs)));
        rescored.entropies = hesitation.then(|| by_turn(gathered, &scores, |score| Some(&score.entropies)));
    }
    if algorithm.needs_reference() {
        let as_reference = |row: usize| {
            let sequence = as_sampled(row);
            Some(TrainSequence { policy: reference_of(sequence.policy), critic: None, ..sequence })
        };
        let scores = score(handle, cohort, gathered, pass, as_reference)?;
        rescored.reference = Some(by_turn(gathered, &scores, |score| Some(&score.logprobs)));
    }
    if cohort.critic.is_some() {
        bootstrap(handle, gathered, truncated, pass, &mut rescored.bootstraps)?;
    }
    Ok(rescored)
}

/// The value of a state after a sequence is that before one more token, whichever that is.
fn bootstrap(
    handle: &DeviceHandle<PolicyTable>,
    gathered: &Gathered,
    truncated: &[bool],
    pass: PassOptions,
    bootstraps: &mut [f32],
) -> Result<(), LearnError> {
    let mut asked = vec![];
    let mut sequences = vec![];
    for (episode, (_, turns)) in gathered.episodes.iter().enumerate().filter(|(episode, _)| truncated[*episode]) {
        let mut sequence = gathered.rows[gathered.turns[turns.end - 1].row].sequence.clone();
        sequence.scored = vec![sequence.ids.len() as u32];
        sequence.ids.extend(sequence.ids.last().copied());
        asked.push(episode);
        sequences.push(sequence);
    }
    if sequences.is_empty() {
        return Ok(());
    }
    for (episode, scores) in asked.into_iter().zip(handle.score(sequences, pass).map_err(LearnError::Device)?) {
        bootstraps[episode] = scores.values.and_then(|values| values.first().copied()).unwrap_or_default();
    }
    Ok(())
}

/// Scores the rows that `sequence` gives, those of one temperature together; the others stay empty.
pub(super) fn score(
    handle: &DeviceHandle<PolicyTable>,
    cohort: &Cohort,
    gathered: &Gathered,
    pass: PassOptions,
    sequence: impl Fn(usize) -> Option<TrainSequence>,
) -> Result<Vec<SequenceScores>, CommandError> {
    let temperature = |row: usize| cohort.players[gathered.rows[row].player].temperature;
    let mut temperatures: Vec<f64> = (0..gathered.rows.len()).map(temperature).collect();
    temperatures.sort_by(f64::total_cmp);
    temperatures.dedup();
    let mut scores = vec![SequenceScores::default(); gathered.rows.len()];
    for wanted in temperatures {
        let mut rows: Vec<usize> = (0..gathered.rows.len()).filter(|row| temperature(*row) == wanted).collect();
        rows.sort_by_key(|row| gathered.rows[*row].sequence.policy);
        let (rows, sequences): (Vec<usize>, Vec<TrainSequence>) =
            rows.into_iter().filter_map(|row| Some((row, sequence(row)?))).unzip();
        let options = PassOptions { temperature: wanted, ..pass };
        for (row, score) in rows.into_iter().zip(handle.score(sequences, options)?) {
            scores[row] = score;
        }
    }
    Ok(scores)
}

/// Numbers per scored token of the rows to numbers per turn.
pub(super) fn by_turn<'a>(
    gathered: &Gathered,
    scores: &'a [SequenceScores],
    of: impl Fn(&'a SequenceScores) -> Option<&'a [f32]>,
) -> Vec<Vec<f32>> {
    let mut turns = vec![vec![]; gathered.turns.len()];
    for (row, score) in gathered.rows.iter().zip(scores) {
        let mut numbers = of(score).unwrap_or_default().iter().copied();
        for turn in &row.turns {
            turns[*turn] = numbers.by_ref().take(gathered.turns[*turn].positions.len()).collect();
        }
    }
    turns
}
