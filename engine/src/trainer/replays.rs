//! Replays: what agents and turns were worth, by rolling episodes out again without them or from them on.
//!
//! For credit rules that ask what would have happened otherwise. Replays are never learnt from. An episode of which a replay
//! broke is left out: a fault is no reward of 0.

use std::collections::BTreeMap;
use std::sync::Arc;

use marft_algorithms::credit::difference::difference;
use marft_algorithms::credit::leave_one_out::leave_one_out;
use marft_algorithms::credit::rollout_value::rollout_value;
use marft_algorithms::preset::CreditRule;

use super::TrainerError;
use super::rollout::Rollout;
use crate::episode::EpisodeRecord;
use crate::learn::{Credits, LearnError};
use crate::task::Task;
use crate::world::{Fork, counterfactual};

/// Fresh samples of an action, or of an episode's rest, whose mean is a baseline.
const SAMPLES: usize = 2;

/// One thing to be replayed for an episode, and how often.
struct Branch {
    fork: Fork,
    samples: usize,
}

/// What every turn of the sound `records` is paid by `rule`; episodes without an answer are not in the map. Also how many
/// tokens that took.
pub(super) fn credits(
    rollout: &mut Rollout<'_>,
    rule: CreditRule,
    records: &[EpisodeRecord],
    tasks: &[Arc<Task>],
) -> Result<(Credits, u64), TrainerError> {
    let records: Vec<Arc<EpisodeRecord>> =
        records.iter().filter(|record| record.is_sound()).map(|record| Arc::new(record.clone())).collect();
    let branches: Vec<Vec<Branch>> = records.iter().map(|record| branches(rule, record)).collect();
    let mut openings = vec![];
    for (record, branches) in records.iter().zip(&branches) {
        let Some(task) = tasks.iter().find(|task| task.id == record.task) else { continue };
        for fork in branches.iter().flat_map(|branch| std::iter::repeat_n(&branch.fork, branch.samples)) {
            openings.push((Arc::clone(task), fork.clone()));
        }
    }
    let replayed = rollout.forks(openings)?;
    let tokens = replayed.iter().map(|record| record.sampled() as u64).sum();
    let mut totals =
        replayed.iter().map(|record| record.reward.as_ref().filter(|_| record.is_sound()).map(|r| r.total));
    let mut credits = Credits::new();
    for (record, branches) in records.iter().zip(branches) {
        let rewards: Vec<Option<Vec<f64>>> =
            branches.iter().map(|branch| totals.by_ref().take(branch.samples).collect()).collect();
        let rewards: Option<Vec<Vec<f64>>> = rewards.into_iter().collect();
        if let Some(rewards) = rewards {
            let paid = pay(rule, record, &rewards).map_err(LearnError::from)?;
            credits.insert(record.id.clone(), paid);
        }
    }
    Ok((credits, tokens))
}

/// Agents in the order of their first turns.
fn agents(record: &EpisodeRecord) -> Vec<&str> {
    let mut agents: Vec<&str> = vec![];
    for turn in &record.turns {
        if !agents.contains(&&*turn.agent) {
            agents.push(&turn.agent);
        }
    }
    agents
}

fn branches(rule: CreditRule, record: &Arc<EpisodeRecord>) -> Vec<Branch> {
    let first = |agent: &str| record.turns.iter().position(|turn| *turn.agent == *agent).unwrap_or(0);
    match rule {
        CreditRule::Difference => agents(record)
            .into_iter()
            .filter_map(|agent| counterfactual::without(record, agent))
            .map(|fork| Branch { fork, samples: 1 })
            .collect(),
        CreditRule::LeaveOneOut => agents(record)
            .into_iter()
            .map(|agent| Branch { fork: counterfactual::roll_out(record, first(agent)), samples: SAMPLES })
            .collect(),
        CreditRule::RolloutValue => (0..record.turns.len())
            .map(|turn| Branch { fork: counterfactual::roll_out(record, turn), samples: SAMPLES })
            .collect(),
        _ => vec![],
    }
}

/// Credit per turn of the record; what an agent earned stands on its last turn.
fn pay(rule: CreditRule, record: &EpisodeRecord, rewards: &[Vec<f64>]) -> marft_algorithms::Result<Vec<f64>> {
    let total = record.reward.as_ref().map_or(0.0, |reward| reward.total);
    let by_agent = match rule {
        CreditRule::RolloutValue => return rollout_value(rewards, total),
        CreditRule::Difference => difference(total, &rewards.concat())?,
        _ => leave_one_out(total, rewards)?,
    };
    let mut paid = vec![0.0; record.turns.len()];
    let last: BTreeMap<&str, usize> = record.turns.iter().enumerate().map(|(at, turn)| (&*turn.agent, at)).collect();
    for (agent, credit) in agents(record).into_iter().zip(by_agent) {
        paid[last[agent]] = credit;
    }
    Ok(paid)
}

impl Rollout<'_> {
    /// Rolls out one episode a fork, and returns them in the order of the forks.
    fn forks(&mut self, openings: Vec<(Arc<Task>, Fork)>) -> Result<Vec<EpisodeRecord>, TrainerError> {
        let seed = self.seed.child("replays", 0);
        let mut records = self.episodes((0..).zip(openings).map(|(number, (task, fork))| {
            // the number tells replays apart, which share tasks
            (task, seed.child("replay", u64::from(number)), number, Some(fork))
        }))?;
        records.sort_by_key(|record| record.sample);
        Ok(records)
    }
}
