//! Pack: who learns from the batch and when, rows to mini-batches, and mini-batches to chunks that fit one pass.

use std::collections::BTreeMap;

use marft_agents::generate::PolicyId;
use marft_agents::train::micro_batches;
use marft_algorithms::order::schedule::Schedule;
use marft_algorithms::preset::Compat;

use super::gather::Gathered;
use super::{Cohort, LearnError};
use crate::seed::Seed;

/// Where the run stands, as far as schedules ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moment {
    /// Batches learnt from before this one.
    pub(super) update: u64,
    /// Environment steps of all episodes, as the algorithm counts them.
    pub(super) environment_steps: u64,
    /// Root of the shuffles.
    pub(super) seed: Seed,
}

/// One way through the batch, all epochs of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Lap {
    /// Who learns; nobody while the critic warms up.
    pub(super) learners: Vec<PolicyId>,
    /// Rows of each optimiser step.
    pub(super) mini_batches: Vec<Vec<usize>>,
}

/// What is done with a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Laps {
    /// Whether each lap is corrected for what the laps before it have changed.
    pub(super) corrected: bool,
    pub(super) laps: Vec<Lap>,
}

/// Lays out the whole update of a batch.
pub(super) fn lay_out(cohort: &Cohort, gathered: &Gathered, moment: &Moment) -> Result<Laps, LearnError> {
    let algorithm = &cohort.algorithm;
    let labels: Vec<&str> = cohort.players.iter().map(|player| player.label.as_str()).collect();
    let schedule = algorithm.schedule(moment.seed.child("order", 0).draw(0), &labels);
    let players = cohort.players.len() as u32;
    let learners = schedule.learners(moment.environment_steps, moment.update, players)?;
    let mut policies: Vec<PolicyId> = vec![];
    for policy in learners.iter().map(|learner| cohort.players[*learner as usize].policy) {
        if !policies.contains(&policy) {
            policies.push(policy);
        }
    }
    let warm = algorithm.warm_up().is_over(moment.environment_steps);
    let corrected = warm && matches!(schedule, Schedule::Sequential { .. });
    let sets: Vec<Vec<PolicyId>> = match (warm, corrected) {
        // a warming critic learns from what everybody said
        (false, _) => vec![cohort.policies()],
        (true, false) => vec![policies],
        (true, true) => policies.into_iter().map(|policy| vec![policy]).collect(),
    };
    let everyone = cohort.policies();
    let mut laps = Laps { corrected, laps: vec![] };
    for set in sets {
        let mut lap = Lap::default();
        // the critic of the first release learns from all agents, whoever's turn it is
        let heard = if algorithm.compat == Compat::MarftV1 && !corrected { &everyone } else { &set };
        for epoch in 0..algorithm.epochs {
            let seed = moment.seed.child("shuffle", u64::from(epoch));
            lap.mini_batches.extend(mini_batches(cohort, gathered, heard, seed.draw(0))?);
        }
        lap.learners = if warm { set } else { vec![] };
        laps.laps.push(lap);
    }
    Ok(laps)
}

/// Rows of each optimiser step of one pass over the batch: those of `learners`, shuffled by `seed`. The first release keeps the
/// rows of one joint action together.
fn mini_batches(
    cohort: &Cohort,
    gathered: &Gathered,
    learners: &[PolicyId],
    seed: u64,
) -> Result<Vec<Vec<usize>>, LearnError> {
    let of_learner = |row: &usize| {
        let row = &gathered.rows[*row];
        learners.contains(&row.sequence.policy) && !row.sequence.scored.is_empty()
    };
    let rows: Vec<usize> = (0..gathered.rows.len()).filter(of_learner).collect();
    if rows.is_empty() {
        return Ok(vec![]);
    }
    let mut algorithm = cohort.algorithm.clone();
    let units = match algorithm.compat {
        Compat::None => rows.into_iter().map(|row| vec![row]).collect(),
        Compat::MarftV1 => joint_actions(gathered, &rows),
    };
    // fewer rows than mini-batches: one row each
    algorithm.mini_batches = algorithm.mini_batches.clamp(1, units.len() as u32);
    let batches = algorithm.mini_batches(units.len(), seed)?;
    Ok(batches.into_iter().map(|batch| batch.into_iter().flat_map(|at| units[at].clone()).collect()).collect())
}

/// Rows side by side that began in the same step of the same episode.
fn joint_actions(gathered: &Gathered, rows: &[usize]) -> Vec<Vec<usize>> {
    let mut units: BTreeMap<Option<(u32, u32)>, Vec<usize>> = BTreeMap::new();
    for row in rows {
        let began = gathered.rows[*row].turns.first().map(|turn| gathered.turns[*turn].ids);
        units.entry(began.map(|ids| (ids.episode, ids.step))).or_default().push(*row);
    }
    units.into_values().collect()
}

/// Cuts a mini-batch into chunks of at most `budget` tokens, each of one temperature, policies side by side.
pub(super) fn chunks(cohort: &Cohort, gathered: &Gathered, mut rows: Vec<usize>, budget: usize) -> Vec<Vec<usize>> {
    let temperature = |row: usize| cohort.players[gathered.rows[row].player].temperature;
    rows.sort_by(|a, b| {
        let key = |row: usize| (gathered.rows[row].sequence.policy, row);
        temperature(*a).total_cmp(&temperature(*b)).then_with(|| key(*a).cmp(&key(*b)))
    });
    let mut chunks = vec![];
    for alike in rows.chunk_by(|a, b| temperature(*a) == temperature(*b)) {
        let lengths: Vec<usize> = alike.iter().map(|row| gathered.rows[*row].sequence.ids.len()).collect();
        let cut = micro_batches(&lengths, budget);
        chunks.extend(cut.into_iter().map(|chunk| chunk.into_iter().map(|at| alike[at]).collect()));
    }
    chunks
}

#[cfg(test)]
mod tests {
    use marft_agents::train::TrainSequence;
    use marft_algorithms::preset::{Algorithm, ScheduleKind};
    use marft_algorithms::trajectory::TurnIds;

    use super::super::Player;
    use super::super::gather::{Row, Spoken};
    use super::*;

    fn world() -> (Cohort, Gathered) {
        let player = |label: &str, policy, temperature| Player {
            label: label.to_owned(),
            place: policy as usize,
            policy: PolicyId(policy),
            temperature,
            shares: None,
        };
        let players = vec![player("a", 0, 1.0), player("b", 1, 0.5), player("c", 2, 1.0)];
        let algorithm = Algorithm { mini_batches: 2, ..Algorithm::default() };
        let row = |player: usize| Row {
            sequence: TrainSequence::from_token(players[player].policy, vec![1; 4], 2),
            player,
            turns: vec![],
        };
        let rows = [2, 0, 1, 0, 2, 1].map(row).to_vec();
        (
            Cohort { algorithm, players: players.clone(), index: 0, critic: None, kl_target: None },
            Gathered { rows, ..Gathered::default() },
        )
    }

    #[test]
    fn mini_batches_hold_every_row_of_the_learners_once() {
        let (cohort, gathered) = world();
        let batches = mini_batches(&cohort, &gathered, &[PolicyId(0), PolicyId(2)], 7).unwrap();
        assert_eq!(batches.len(), 2);
        let mut rows = batches.concat();
        rows.sort_unstable();
        assert_eq!(rows, [0, 1, 3, 4]);
        assert_eq!(mini_batches(&cohort, &gathered, &[PolicyId(9)], 7).unwrap(), Vec::<Vec<usize>>::new());
    }

    /// Two joint actions of three agents: their rows stay together, whoever learns, and what fills no mini-batch is lost.
    #[test]
    fn the_first_release_keeps_joint_actions_together_for_its_critic() {
        let (mut cohort, mut gathered) = world();
        cohort.algorithm = Algorithm { compat: Compat::MarftV1, mini_batches: 2, ..Algorithm::default() };
        for (at, row) in gathered.rows.iter_mut().enumerate() {
            row.turns = vec![at];
            let ids = TurnIds { episode: at as u32 % 3, agent: row.player as u32, ..TurnIds::default() };
            gathered.turns.push(Spoken { ids, row: at, in_loss: true, ..Spoken::default() });
        }
        let schedule = ScheduleKind::Interval;
        cohort.algorithm = Algorithm { schedule, update_interval: 10, ..cohort.algorithm };
        let moment = Moment { update: 0, environment_steps: 10, seed: Seed::of_run(1) };
        let laps = lay_out(&cohort, &gathered, &moment).unwrap().laps;
        assert_eq!((laps.len(), &laps[0].learners), (1, &vec![PolicyId(1)]));
        let mut batches = laps[0].mini_batches.clone();
        assert_eq!(batches.len(), 2, "the third joint action is lost");
        for batch in &mut batches {
            batch.sort_unstable();
            assert_eq!(batch.len(), 2);
            assert_eq!(batch[0] % 3, batch[1] % 3, "{batch:?}");
        }
    }

    #[test]
    fn chunks_are_of_one_temperature_with_policies_side_by_side() {
        let (cohort, gathered) = world();
        let cut = chunks(&cohort, &gathered, (0..6).collect(), 12);
        assert_eq!(cut, [vec![2, 5], vec![1, 3, 0], vec![4]]);
    }
}
