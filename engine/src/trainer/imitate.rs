//! Imitation: a step of supervised learning on demonstrations.

use std::sync::Arc;
use std::time::Instant;

use regex::Regex;

use super::rollout::Rollout;
use super::{StepReport, Trainer, TrainerError, environments, world};
use crate::learn::{Errors, Lesson};
use crate::seed::Seed;
use crate::settings::{ErrorRule, Sft, Stage};
use crate::task::{Demonstrations, Task, Turns};
use crate::voice::Sayings;

impl Trainer {
    /// A step of supervised learning on demonstrations.
    pub(super) fn imitate(&mut self, sft: &Sft, done: u64) -> Result<StepReport, TrainerError> {
        let index = self.plan.at(self.state.step + 1).map_or(0, |place| place.index);
        self.read_lessons()?;
        let lessons = &self.lessons[&index];
        let per_epoch = lessons.len().div_ceil(sft.batch.max(1)) as u64;
        let (epoch, batch) = (done / per_epoch.max(1), (done % per_epoch.max(1)) as usize);
        let seed = Seed::of_run(self.settings.seed).child("stage", index as u64).child("epoch", epoch);
        let order = seed.permutation(lessons.len());
        let batch: Vec<Lesson> =
            order.iter().skip(batch * sft.batch).take(sft.batch).map(|at| lessons[*at].clone()).collect();
        let start = Instant::now();
        let taught = self.learner.teach(&batch)?;
        Ok(StepReport { taught: Some(taught), learning: start.elapsed(), ..StepReport::default() })
    }

    /// Reads the demonstrations of all stages that are not over, where they have not been read.
    ///
    /// # Errors
    /// A demonstration that cannot be read, is of no task to train on, or lacks what an agent says when it is asked.
    pub(super) fn read_lessons(&mut self) -> Result<(), TrainerError> {
        let stages: Vec<(usize, Stage)> = self.plan.stages_after(self.state.step).collect();
        for (index, stage) in stages {
            if let Stage::Sft(sft) = stage
                && !self.lessons.contains_key(&index)
            {
                let lessons = self.demonstrated(&sft)?;
                self.lessons.insert(index, lessons);
            }
        }
        Ok(())
    }

    /// Demonstrations as lessons: episodes in which the team says what it should have said.
    fn demonstrated(&self, sft: &Sft) -> Result<Vec<Lesson>, TrainerError> {
        let mut all = Demonstrations::read(&sft.demonstrations)?;
        if let Some(limit) = sft.limit {
            let order = Seed::of_run(self.settings.seed).child("demonstrations", 0).permutation(all.len());
            let mut chosen: Vec<usize> = order.into_iter().take(limit).collect();
            chosen.sort_unstable();
            all = Demonstrations(chosen.into_iter().map(|at| all.0[at].clone()).collect());
        }
        let sayings = Arc::new(sayings(&all));
        let mut tasks: Vec<Arc<Task>> = vec![];
        for row in &all.0 {
            let task = self.pool.find(&row.id).ok_or_else(|| {
                let held_out = self.pool.held_out().iter().any(|task| task.id == row.id);
                let why = if held_out { "is held out" } else { "does not exist" };
                TrainerError::Setting(format!(
                    "{}: the task of demonstration `{}` {why}",
                    sft.demonstrations.display(),
                    row.id
                ))
            })?;
            tasks.push(Arc::clone(task));
        }
        let mut engine = world(&self.team, &self.settings, &self.registry, self.roster.demonstrators(&sayings))?;
        let environment = environments(&self.registry, &self.settings);
        let seed = Seed::of_run(self.settings.seed).child("demonstrations", 1);
        let concurrency = self.settings.rollout.concurrency;
        let mut rollout = Rollout {
            engine: &mut engine,
            environment: &environment,
            concurrency,
            step: 0,
            seed,
            samples: 1,
            temperature: None,
        };
        let records = rollout.run(&tasks, 0)?;
        if let Some(fault) = records.iter().flat_map(|record| &record.faults).find(|fault| !fault.recovered) {
            return Err(TrainerError::Setting(format!("{}: {}", sft.demonstrations.display(), fault.message)));
        }
        let players = self.roster.players();
        let Some(ErrorRule { pattern, mask }) = &sft.errors else {
            return Ok(records.iter().map(|record| Lesson::of(record, players)).collect());
        };
        let pattern = Regex::new(pattern).map_err(|error| TrainerError::Setting(format!("`errors`: {error}")))?;
        let errors = Errors { text: self.roster.text(), pattern: &pattern, mask: *mask };
        let lessons = records.iter().map(|record| Lesson::without(record, players, errors));
        Ok(lessons.collect::<Result<_, _>>()?)
    }
}

/// What is said, by task and agent.
fn sayings(demonstrations: &Demonstrations) -> Sayings {
    let said = |turns: &Turns| match turns {
        Turns::One(text) => vec![text.clone()],
        Turns::Many(texts) => texts.clone(),
    };
    let rows = demonstrations.0.iter();
    rows.flat_map(|row| row.says.iter().map(move |(agent, turns)| ((row.id.clone(), agent.clone()), said(turns))))
        .collect()
}
