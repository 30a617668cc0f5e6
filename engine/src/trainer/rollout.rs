//! Rollout: a step's tasks to closed episodes, sampled again where an algorithm wants groups that disagree.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use marft_algorithms::Error;
use marft_algorithms::loss::{DynamicSampling, LossError, Refill};

use super::TrainerError;
use crate::environment::Environment;
use crate::episode::{EpisodeRecord, RewardStreams};
use crate::learn::LearnError;
use crate::seed::Seed;
use crate::task::Task;
use crate::world::{Engine, Fork, Opening};

/// How often an idle world is looked at for an interrupt.
const PATIENCE: Duration = Duration::from_millis(100);

/// What episodes are opened with.
pub(super) struct Rollout<'a> {
    /// The world.
    pub engine: &'a mut Engine,
    /// Makes an environment for an episode.
    pub environment: &'a dyn Fn() -> Result<Box<dyn Environment>, TrainerError>,
    /// Most episodes open at a time.
    pub concurrency: usize,
    /// The step they belong to.
    pub step: u64,
    /// Root of their random numbers.
    pub seed: Seed,
    /// Samples of a task.
    pub samples: u32,
    /// Temperature of all agents instead of their own.
    pub temperature: Option<f64>,
}

/// How a step's groups are chosen.
pub(super) struct Choice<'a> {
    /// The rule.
    pub rule: DynamicSampling,
    /// The reward term whose raw score it looks at; the total where absent.
    pub metric: Option<&'a str>,
    /// Groups wanted.
    pub wanted: usize,
}

/// What dynamic sampling came to in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sampling {
    /// Rounds of rolling out.
    pub rounds: usize,
    /// Groups wanted.
    pub wanted: usize,
    /// Groups whose episodes disagree and that are learnt from.
    pub kept: usize,
    /// Episodes of those groups.
    pub episodes: usize,
}

impl Rollout<'_> {
    /// Rolls out `samples` episodes of every task of the step but the first `before`, which were rolled out before. A task that
    /// comes again goes on counting its samples, so that no two episodes bear one name.
    ///
    /// # Errors
    /// The world stands still, or an environment cannot be made.
    pub(super) fn run(&mut self, tasks: &[Arc<Task>], before: usize) -> Result<Vec<EpisodeRecord>, TrainerError> {
        let (samples, seed) = (self.samples, self.seed);
        let mut counted: BTreeMap<&str, u32> = BTreeMap::new();
        let numbered: Vec<(u64, &Arc<Task>, u32)> = (0..)
            .zip(tasks)
            .map(|(number, task)| {
                let count = counted.entry(&task.id).or_default();
                let first = *count;
                *count += samples;
                (number, task, first)
            })
            .collect();
        self.episodes(numbered.into_iter().skip(before).flat_map(|(number, task, first)| {
            (0..samples).map(move |sample| (Arc::clone(task), episode_seed(seed, number, sample), first + sample, None))
        }))
    }

    /// Rolls out the sample of this name of the task with this number in the step.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(super) fn one(&mut self, task: &Arc<Task>, number: u64, sample: u32) -> Result<EpisodeRecord, TrainerError> {
        let seed = episode_seed(self.seed, number, sample % self.samples);
        let closed = self.episodes([(Arc::clone(task), seed, sample, None)])?.pop();
        closed.ok_or_else(|| TrainerError::Setting("the episode closed without a record".to_owned()))
    }

    /// Rolls out episodes, each with its task, seed, number among the samples and what it repeats; they come back ordered
    /// by task and sample.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(super) fn episodes(
        &mut self,
        episodes: impl IntoIterator<Item = (Arc<Task>, Seed, u32, Option<Fork>)>,
    ) -> Result<Vec<EpisodeRecord>, TrainerError> {
        let mut waiting = episodes.into_iter().fuse();
        loop {
            while self.engine.progress().open < self.concurrency {
                let Some((task, seed, sample, fork)) = waiting.next() else { break };
                let (environment, step, temperature) = ((self.environment)()?, self.step, self.temperature);
                self.engine.open(Opening { task, environment, seed, step, sample, temperature, fork });
            }
            if self.engine.progress().open == 0 {
                return Ok(self.engine.take_closed());
            }
            self.engine.tick(PATIENCE)?;
        }
    }

    /// Rolls out and, until the rule of `choice` has enough groups that disagree, draws further tasks with `draw`. Returns all
    /// episodes, the places of those to learn from, and what it took. Where the rule gives up, whatever disagrees is kept.
    ///
    /// # Errors
    /// The world stands still, no more tasks can be drawn, or a reward is not finite.
    pub(super) fn run_dynamic(
        &mut self,
        choice: &Choice<'_>,
        draw: &mut dyn FnMut(usize) -> Result<Vec<Arc<Task>>, TrainerError>,
    ) -> Result<(Vec<EpisodeRecord>, Vec<usize>, Sampling), TrainerError> {
        let Choice { rule, metric, wanted } = *choice;
        let mut all: Vec<EpisodeRecord> = vec![];
        let (mut missing, mut tasks) = (wanted, vec![]);
        let mut rounds = 0;
        loop {
            rounds += 1;
            let before = tasks.len();
            tasks.extend(draw(missing)?);
            all.extend(self.run(&tasks, before)?);
            let groups = groups(&all);
            let scores: Vec<Vec<f64>> = groups.values().map(|group| scores(&all, group, metric)).collect();
            let keep = match rule.round(&scores, wanted, rounds) {
                Ok(Refill::Generate { missing: more }) => {
                    missing = more;
                    continue;
                }
                Ok(Refill::Train { groups, .. }) => groups,
                Err(Error::Loss(LossError::NoSignal { .. })) => DynamicSampling::informative(&scores),
                Err(other) => return Err(LearnError::from(other).into()),
            };
            let chosen = groups.values().enumerate().filter(|(at, _)| keep.contains(at));
            let mut kept: Vec<usize> = chosen.flat_map(|(_, group)| group.clone()).collect();
            kept.sort_unstable();
            let sampling = Sampling { rounds, wanted, kept: keep.len(), episodes: kept.len() };
            return Ok((all, kept, sampling));
        }
    }
}

fn episode_seed(root: Seed, task: u64, sample: u32) -> Seed {
    root.child("task", task).child("episode", u64::from(sample))
}

/// Sound episodes by task, in order of first appearance.
pub(super) fn groups(records: &[EpisodeRecord]) -> BTreeMap<usize, Vec<usize>> {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, record) in records.iter().enumerate().filter(|(_, record)| record.is_sound()) {
        let group = *first.entry(&record.task).or_insert(at);
        groups.entry(group).or_default().push(at);
    }
    groups
}

/// What each episode of a group came to, by the raw score of a reward term, or by the total.
fn scores(records: &[EpisodeRecord], group: &[usize], metric: Option<&str>) -> Vec<f64> {
    let of = |reward: &RewardStreams| match metric {
        None => reward.total,
        Some(name) => reward.terms.iter().filter(|term| term.name == name).map(|term| term.raw).sum(),
    };
    group.iter().map(|at| records[*at].reward.as_ref().map_or(0.0, of)).collect()
}
