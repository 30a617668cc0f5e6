//! Reinforcement: a step of learning from what episodes earned.

use std::sync::Arc;
use std::time::Instant;

use super::replays::credits;
use super::rollout::{Choice, Rollout, groups};
use super::steps::{refuse_all_faults, samples};
use super::vitals::vitals;
use super::{StepReport, Trainer, TrainerError, environments};
use crate::episode::EpisodeRecord;
use crate::learn::needs_replays;
use crate::seed::Seed;
use crate::settings::Stage;
use crate::task::Task;

impl Trainer {
    /// A step of reinforcement learning.
    pub(super) fn reinforce(&mut self, stage: &Stage, step: u64, seed: Seed) -> Result<StepReport, TrainerError> {
        let start = Instant::now();
        let before = self.engine.progress().tokens;
        let samples = samples(stage, self.roster.cohorts());
        let mut algorithms = self.learner.cohorts().iter().map(|cohort| &cohort.algorithm);
        let dynamic = algorithms.find_map(|own| Some((own.dynamic_sampling()?, own.sampling_metric.clone())));
        let mut pool_state = self.state.pool.clone();
        let mut tasks: Vec<Arc<Task>> = vec![];
        let rule =
            self.learner.cohorts().iter().map(|cohort| cohort.algorithm.credit).find(|rule| needs_replays(*rule));
        let (records, kept, sampling, credits) = {
            let pool = &self.pool;
            let mut draw = |count: usize| -> Result<Vec<Arc<Task>>, TrainerError> {
                let drawn = pool.draw(&mut pool_state, count)?;
                tasks.extend(drawn.iter().cloned());
                Ok(drawn)
            };
            let environment = environments(&self.registry, &self.settings);
            let concurrency = self.settings.rollout.concurrency;
            let engine = &mut self.engine;
            let mut rollout =
                Rollout { engine, environment: &environment, concurrency, step, seed, samples, temperature: None };
            let wanted = self.settings.rollout.tasks;
            let (records, kept, sampling) = match &dynamic {
                Some((rule, metric)) => {
                    let choice = Choice { rule: *rule, metric: metric.as_deref(), wanted };
                    let (all, kept, sampling) = rollout.run_dynamic(&choice, &mut draw)?;
                    let kept: Vec<EpisodeRecord> = kept.into_iter().map(|at| all[at].clone()).collect();
                    (all, Some(kept), Some(sampling))
                }
                None => (rollout.run(&draw(wanted)?, 0)?, None, None),
            };
            let credits = match rule {
                Some(rule) => Some(credits(&mut rollout, rule, kept.as_deref().unwrap_or(&records), &tasks)?),
                None => None,
            };
            (records, kept, sampling, credits)
        };
        self.state.pool = pool_state;
        let rollout = start.elapsed();
        refuse_all_faults(step, &records)?;
        let start = Instant::now();
        let (episodes, tokens) = (tasks.len() as u64 * u64::from(samples), self.engine.progress().tokens - before);
        let mut teachable = teachable(kept.as_deref().unwrap_or(&records), samples);
        let credits = credits.map(|(credits, _)| credits).unwrap_or_default();
        teachable.retain(|record| rule.is_none() || credits.contains_key(&record.id));
        let learnt = self.learner.learn(teachable, credits)?;
        let learning = start.elapsed();
        let promoted = self.tell_curriculum(&records, &tasks);
        let gold = self.settings.reward.first().map_or("answer", |term| term.gold.as_str());
        let vitals = Some(vitals(&records, samples, &learnt, &tasks, gold));
        let learnt = Some(learnt);
        Ok(StepReport {
            records,
            sampling,
            episodes,
            tokens,
            learnt,
            vitals,
            rollout,
            learning,
            promoted,
            ..StepReport::default()
        })
    }
}

/// What may be learnt from: where groups are compared, a sample that lost all of its group is left out.
fn teachable(records: &[EpisodeRecord], samples: u32) -> Vec<EpisodeRecord> {
    let mut keep: Vec<usize> =
        groups(records).into_values().filter(|group| samples < 2 || group.len() > 1).flatten().collect();
    keep.sort_unstable();
    keep.into_iter().map(|at| records[at].clone()).collect()
}
