//! Rollout: a step's tasks to closed episodes, sampled again where an algorithm wants groups that disagree.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use marft_algorithms::loss::{DynamicSampling, Refill};

use super::TrainerError;
use crate::environment::Environment;
use crate::episode::EpisodeRecord;
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

    /// Rolls out and, until `rule` has enough groups that disagree, draws further tasks with `draw`. Where the rule gives
    /// up, what disagrees is returned all the same.
    ///
    /// # Errors
    /// The world stands still, or no more tasks can be drawn.
    pub(super) fn run_dynamic(
        &mut self,
        rule: DynamicSampling,
        wanted: usize,
        draw: &mut dyn FnMut(usize) -> Result<Vec<Arc<Task>>, TrainerError>,
    ) -> Result<Vec<EpisodeRecord>, TrainerError> {
        let mut all: Vec<EpisodeRecord> = vec![];
        let (mut missing, mut tasks) = (wanted, vec![]);
        for round in 1.. {
            let before = tasks.len();
            tasks.extend(draw(missing)?);
            all.extend(self.run(&tasks, before)?);
            let groups = groups(&all);
            let metric: Vec<Vec<f64>> = groups.values().map(|group| rewards(&all, group)).collect();
            let keep = match rule.round(&metric, wanted, round) {
                Ok(Refill::Generate { missing: more }) => {
                    missing = more;
                    continue;
                }
                Ok(Refill::Train { groups, .. }) => groups,
                Err(_) => DynamicSampling::informative(&metric),
            };
            let mut kept: Vec<usize> = groups
                .values()
                .enumerate()
                .filter(|(at, _)| keep.contains(at))
                .flat_map(|(_, group)| group.clone())
                .collect();
            kept.sort_unstable();
            let mut records: Vec<Option<EpisodeRecord>> = all.into_iter().map(Some).collect();
            return Ok(kept.into_iter().filter_map(|at| records[at].take()).collect());
        }
        Ok(all)
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

fn rewards(records: &[EpisodeRecord], group: &[usize]) -> Vec<f64> {
    group.iter().map(|at| records[*at].reward.as_ref().map_or(0.0, |reward| reward.total)).collect()
}
