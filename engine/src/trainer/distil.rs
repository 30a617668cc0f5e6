//! Self-distillation: a step of supervised learning from the team's own best episodes.

use std::time::Instant;

use super::rollout::{Rollout, groups};
use super::steps::refuse_all_faults;
use super::{StepReport, Trainer, TrainerError, environments};
use crate::episode::EpisodeRecord;
use crate::learn::{Lesson, SupervisedReport};
use crate::seed::Seed;
use crate::settings::Rft;

impl Trainer {
    /// A step of learning from the team's own best episodes.
    pub(super) fn distil(&mut self, rft: &Rft, step: u64, seed: Seed) -> Result<StepReport, TrainerError> {
        let start = Instant::now();
        let before = self.engine.progress().tokens;
        let tasks = self.pool.draw(&mut self.state.pool, self.settings.rollout.tasks)?;
        let records = {
            let environment = environments(&self.registry, &self.settings);
            let (concurrency, samples) = (self.settings.rollout.concurrency, rft.samples);
            let engine = &mut self.engine;
            Rollout { engine, environment: &environment, concurrency, step, seed, samples, temperature: None }
                .run(&tasks, 0)?
        };
        let rollout = start.elapsed();
        refuse_all_faults(step, &records)?;
        let start = Instant::now();
        let lessons: Vec<Lesson> =
            best(&records, rft).into_iter().map(|at| Lesson::of(&records[at], self.roster.players())).collect();
        let mut taught = SupervisedReport::default();
        for _ in 0..if lessons.is_empty() { 0 } else { rft.epochs } {
            taught = self.learner.teach(&lessons)?.after(&taught);
        }
        let promoted = self.tell_curriculum(&records, &tasks);
        let learning = start.elapsed();
        let (episodes, tokens) = (records.len() as u64, self.engine.progress().tokens - before);
        let (taught, kept) = (Some(taught), Some(lessons.len()));
        Ok(StepReport { records, episodes, tokens, taught, kept, rollout, learning, promoted, ..StepReport::default() })
    }
}

/// The best episodes of every task that are good enough.
fn best(records: &[EpisodeRecord], rft: &Rft) -> Vec<usize> {
    let total = |at: usize| records[at].reward.as_ref().map_or(f64::NEG_INFINITY, |reward| reward.total);
    let mut kept = vec![];
    for mut group in groups(records).into_values() {
        group.retain(|at| total(*at) >= rft.keep_above);
        group.sort_by(|a, b| total(*b).total_cmp(&total(*a)).then(a.cmp(b)));
        kept.extend(group.into_iter().take(rft.keep as usize));
    }
    kept.sort_unstable();
    kept
}
