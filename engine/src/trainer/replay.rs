//! Replay: one episode of a step once more, alone, with the weights it was sampled with.
//!
//! Its tokens come out the same because nothing in an episode depends on what ran beside it: random numbers hang on its
//! place in the run, and with `deterministic` a row of a pass depends on that row alone.

use super::rollout::Rollout;
use super::steps::samples;
use super::{Folder, Trainer, TrainerError, environments};
use crate::episode::EpisodeRecord;
use crate::seed::Seed;

/// Rounds of drawing that dynamic sampling may have taken.
const ROUNDS: usize = 64;

/// Names an episode: `<step>-<task>-<sample>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpisodeId {
    /// The step that rolled it out.
    pub step: u64,
    /// Its task.
    pub task: String,
    /// Which sample of the task.
    pub sample: u32,
}

impl std::str::FromStr for EpisodeId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (step, rest) = text.split_once('-')?;
            let (task, sample) = rest.rsplit_once('-')?;
            Some(Self { step: step.parse().ok()?, task: task.to_owned(), sample: sample.parse().ok()? })
        };
        read().ok_or_else(|| format!("`{text}` names no episode; expected STEP-TASK-SAMPLE, such as 12-AL-capital-0"))
    }
}

impl Trainer {
    /// Takes what people answered in the run in `folder` wherever the question is the same, instead of asking them again.
    ///
    /// # Errors
    /// The record is damaged.
    pub fn recall(&self, folder: &Folder) -> Result<(), TrainerError> {
        let path = folder.exchanges();
        let read = self.roster.exchanges().recall(&path);
        read.map_err(|error| TrainerError::State { path, reason: error.to_string() })
    }

    /// Writes into `folder` what people are asked and answer from now on. Where the run goes on that was begun there, what
    /// they answered before is taken as by [`recall`](Self::recall): steps that are done again ask nobody twice.
    pub(super) fn keep_exchanges(&self, folder: &Folder, goes_on: bool) -> Result<(), TrainerError> {
        let path = folder.exchanges();
        if !goes_on && path.exists() {
            fs_err::remove_file(&path)?;
        }
        let read = self.roster.exchanges().keep(&path);
        read.map_err(|error| TrainerError::State { path, reason: error.to_string() })
    }

    /// Does steps until the next one is `step`, without writing anything down.
    ///
    /// # Errors
    /// As [`step`](Self::step); the run is past that step already.
    pub fn catch_up(&mut self, step: u64) -> Result<(), TrainerError> {
        if self.state.step >= step {
            return Err(TrainerError::Setting(format!("the run is at step {} already", self.state.step)));
        }
        while self.state.step + 1 < step {
            if self.step()?.is_none() {
                return Err(TrainerError::Setting(format!("the run has {} steps", self.plan.steps())));
            }
        }
        Ok(())
    }

    /// Rolls out one episode of the next step; `None` where that step draws no such task.
    ///
    /// # Errors
    /// The world stands still.
    pub fn replay(&mut self, task: &str, sample: u32) -> Result<Option<EpisodeRecord>, TrainerError> {
        let step = self.state.step + 1;
        let samples = self.plan.at(step).map_or(0, |place| samples(place.stage, self.roster.cohorts()));
        if samples == 0 {
            return Ok(None);
        }
        let mut pool = self.state.pool.clone();
        let mut number = 0;
        let mut found = None;
        // a task that comes again goes on counting its samples
        let mut earlier = sample / samples;
        let dynamic = self.roster.cohorts().iter().any(|cohort| cohort.algorithm.dynamic_sampling().is_some());
        for _ in 0..if dynamic { ROUNDS } else { 1 } {
            let drawn = self.pool.draw(&mut pool, self.settings.rollout.tasks)?;
            for (at, own) in (number..).zip(&drawn).filter(|(_, own)| own.id == task) {
                if earlier == 0 {
                    found = found.or(Some((own.clone(), at)));
                } else {
                    earlier -= 1;
                }
            }
            if found.is_some() {
                break;
            }
            number += drawn.len() as u64;
        }
        let Some((task, number)) = found else { return Ok(None) };
        let environment = environments(&self.registry, &self.settings);
        let seed = Seed::of_run(self.settings.seed).child("step", step);
        let engine = &mut self.engine;
        let mut rollout =
            Rollout { engine, environment: &environment, concurrency: 1, step, seed, samples, temperature: None };
        rollout.one(&task, number, sample).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_may_have_hyphens_in_their_names() {
        let id: EpisodeId = "12-AL-capital-3".parse().unwrap();
        assert_eq!(id, EpisodeId { step: 12, task: "AL-capital".to_owned(), sample: 3 });
        assert!("12-3".parse::<EpisodeId>().is_err() && "x-a-1".parse::<EpisodeId>().is_err());
    }
}
