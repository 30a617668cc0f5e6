//! Steps: what each begins with and leaves behind, whatever the kind of its stage.

use std::sync::Arc;
use std::time::Duration;

use marft_agents::device::Alone;
use marft_agents::train::{OptimizerConfig, Schedule};

use super::rollout::Sampling;
use super::{Trainer, TrainerError, Weights, learner};
use crate::episode::EpisodeRecord;
use crate::learn::{Cohort, LearnReport, Player, SupervisedReport};
use crate::metrics::Vitals;
use crate::seed::Seed;
use crate::settings::{Rl, Stage};
use crate::task::Task;

/// What a step came to.
#[derive(Debug, Default)]
pub struct StepReport {
    /// The episodes rolled out, if any; those that dynamic sampling threw away too.
    pub records: Vec<EpisodeRecord>,
    /// What dynamic sampling took and kept, where there is any.
    pub sampling: Option<Sampling>,
    /// How many were rolled out.
    pub episodes: u64,
    /// Tokens sampled for them, and for replays.
    pub tokens: u64,
    /// What reinforcement learning made of them.
    pub learnt: Option<LearnReport>,
    /// What supervised learning did.
    pub taught: Option<SupervisedReport>,
    /// What warnings are drawn from, after reinforcement learning.
    pub vitals: Option<Vitals>,
    /// Episodes that were good enough to be learnt from, in self-distillation.
    pub kept: Option<usize>,
    /// Time that rolling out took.
    pub rollout: Duration,
    /// Time that learning took.
    pub learning: Duration,
    /// Whether the curriculum opened its next level.
    pub promoted: bool,
}

impl StepReport {
    /// The most updates that were dropped of weights of which none was made; 0 where all weights that learnt moved.
    fn stuck(&self) -> u32 {
        let learnt = self.learnt.iter().flat_map(|report| report.policies.values());
        let learnt = learnt.filter(|policy| policy.updates == 0).map(|policy| policy.dropped).max();
        learnt.unwrap_or(0).max(self.taught.as_ref().map_or(0, |taught| taught.stuck))
    }
}

impl Trainer {
    /// Does the next step of the plan; `None` when all are done.
    ///
    /// # Errors
    /// The world stands still, the device refuses, every episode broke. Weights may have changed then; go on from a
    /// checkpoint.
    pub fn step(&mut self) -> Result<Option<StepReport>, TrainerError> {
        let step = self.state.step + 1;
        let Some(place) = self.plan.at(step) else { return Ok(None) };
        let (stage, done, begins) = (place.stage.clone(), place.done, place.begins());
        if begins {
            self.begin(&stage, place.steps)?;
        }
        self.attend(&stage)?;
        let seed = Seed::of_run(self.settings.seed).child("step", step);
        // what adapters drop at random must not depend on what ran before
        let dropout = seed.child("dropout", 0).draw(0) as i64;
        self.roster.handle().call(Alone::No, move |_| tch::manual_seed(dropout))?;
        let report = match &stage {
            Stage::Sft(sft) => self.imitate(sft, done)?,
            Stage::Rl(_) => self.reinforce(&stage, step, seed)?,
            Stage::Rft(rft) => self.distil(rft, step, seed)?,
        };
        self.roster.handle().hand_back_memory()?;
        let stuck = report.stuck();
        self.state.bad_updates = if stuck > 0 { self.state.bad_updates + stuck } else { 0 };
        if self.state.bad_updates > self.settings.train.max_bad_updates {
            return Err(TrainerError::Diverged { updates: self.state.bad_updates });
        }
        self.state.episodes += report.episodes;
        self.state.tokens += report.tokens;
        self.state.learn = self.learner.state().clone();
        self.state.memories = self.engine.memories();
        self.state.step = step;
        Ok(Some(report))
    }

    /// Begins a stage: optimisers without history, and a reference of the weights as they are now where one is needed.
    fn begin(&mut self, stage: &Stage, steps: u64) -> Result<(), TrainerError> {
        for weights in self.roster.weights() {
            if let Some(config) = self.stage_optimizer(weights, stage, steps) {
                self.roster.handle().restart_optimizer(weights.policy, config)?;
            }
        }
        if matches!(stage, Stage::Rl(_)) {
            self.take_references()?;
        }
        Ok(())
    }

    /// How weights are trained in a stage of `steps` steps; `None` where they are not.
    pub(super) fn stage_optimizer(&self, weights: &Weights, stage: &Stage, steps: u64) -> Option<OptimizerConfig> {
        let optimizer = weights.optimizer?;
        let (lr, updates) = match stage {
            Stage::Sft(sft) => (sft.learning_rate, steps),
            Stage::Rft(rft) => (rft.learning_rate, steps.saturating_mul(u64::from(rft.epochs))),
            Stage::Rl(_) => {
                let cohort = self.roster.cohorts().iter().find(|cohort| cohort.policies().contains(&weights.policy));
                let per_step = cohort
                    .map_or(1, |cohort| u64::from(cohort.algorithm.epochs) * u64::from(cohort.algorithm.mini_batches));
                (optimizer.lr, steps.saturating_mul(per_step))
            }
        };
        let schedule = Schedule { total: updates, ..optimizer.schedule };
        Some(OptimizerConfig { lr, schedule, ..optimizer })
    }

    /// Makes the learner attend to those who learn in this stage.
    fn attend(&mut self, stage: &Stage) -> Result<(), TrainerError> {
        let frozen: &[String] = match stage {
            Stage::Rl(Rl { frozen, .. }) => frozen,
            Stage::Sft(_) | Stage::Rft(_) => &[],
        };
        let learns = |player: &Player| !frozen.contains(&player.label);
        let wanted: Vec<Cohort> = self
            .roster
            .cohorts()
            .iter()
            .map(|cohort| Cohort {
                players: cohort.players.iter().filter(|player| learns(player)).cloned().collect(),
                ..cohort.clone()
            })
            .filter(|cohort| !cohort.players.is_empty())
            .collect();
        if self.learner.cohorts() != wanted {
            let state = self.state.learn.clone();
            self.learner = learner(&self.roster, wanted, &self.settings)?;
            if state != crate::learn::LearnState::default() {
                self.learner.restore(state);
            }
        }
        Ok(())
    }

    /// Tells the curriculum what episodes earned; true when it opened the next level.
    pub(super) fn tell_curriculum(&mut self, records: &[EpisodeRecord], tasks: &[Arc<Task>]) -> bool {
        let mut promoted = false;
        for record in records.iter().filter(|record| record.is_sound()) {
            let task = tasks.iter().find(|task| task.id == record.task);
            if let (Some(task), Some(reward)) = (task, &record.reward) {
                promoted |= self.pool.note(&mut self.state.pool, task, reward.total);
            }
        }
        promoted
    }
}

/// Episodes of each task in a step of a stage, if it is rolled out once; none where demonstrations are learnt.
pub(super) fn samples(stage: &Stage, cohorts: &[Cohort]) -> u32 {
    match stage {
        Stage::Sft(_) => 0,
        Stage::Rft(rft) => rft.samples,
        Stage::Rl(_) => cohorts.iter().map(|cohort| cohort.algorithm.group_size).max().unwrap_or(1),
    }
}

/// What is known of the first thing that broke an episode.
pub(super) fn first_fault(records: &[EpisodeRecord]) -> String {
    losses(records).next().unwrap_or_else(|| "no reward".to_owned())
}

/// What broke episodes, each with the agent that it happened to.
fn losses(records: &[EpisodeRecord]) -> impl Iterator<Item = String> {
    let faults = records.iter().flat_map(|record| record.faults.iter().map(move |fault| (record, fault)));
    faults.filter(|(_, fault)| !fault.recovered).map(|(record, fault)| {
        match fault.turn.and_then(|turn| record.turns.get(turn)) {
            Some(turn) => format!("agent `{}`: {}", turn.agent, fault.message),
            None => fault.message.clone(),
        }
    })
}

/// Refuses a step of which not one episode is left.
pub(super) fn refuse_all_faults(step: u64, records: &[EpisodeRecord]) -> Result<(), TrainerError> {
    if records.iter().any(EpisodeRecord::is_sound) || records.is_empty() {
        return Ok(());
    }
    if let Some(fault) = losses(records).find(|fault| fault.ends_with("are not finite")) {
        return Err(TrainerError::Exploded { step, fault });
    }
    Err(TrainerError::AllFaults { step, episodes: records.len(), fault: first_fault(records) })
}
