//! One step of each kind of stage.

use std::sync::Arc;
use std::time::{Duration, Instant};

use marft_agents::device::Alone;
use marft_agents::train::{OptimizerConfig, Schedule};

use super::demonstrations::Demonstrations;
use super::measures::{Measures, vitals};
use super::replays::credits;
use super::rollout::{Rollout, groups};
use super::{Trainer, TrainerError, Weights, environments, learner, world};
use crate::episode::EpisodeRecord;
use crate::learn::{Cohort, LearnReport, Lesson, Player, SupervisedReport, needs_replays};
use crate::metrics::Vitals;
use crate::seed::Seed;
use crate::settings::{Rft, Rl, Sft, Stage};
use crate::task::Task;

/// What a step came to.
#[derive(Debug, Default)]
pub struct StepReport {
    /// The episodes rolled out, if any; of those that dynamic sampling rolled out, the ones that were kept.
    pub records: Vec<EpisodeRecord>,
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

    /// A step of supervised learning on demonstrations.
    fn imitate(&mut self, sft: &Sft, done: u64) -> Result<StepReport, TrainerError> {
        let index = self.plan.at(self.state.step + 1).map_or(0, |place| place.index);
        if self.lessons.as_ref().is_none_or(|(of, _)| *of != index) {
            self.lessons = Some((index, self.demonstrated(sft)?));
        }
        let lessons = self.lessons.as_ref().map(|(_, lessons)| lessons.as_slice()).unwrap_or_default();
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

    /// Demonstrations as lessons: episodes in which the team says what it should have said.
    fn demonstrated(&self, sft: &Sft) -> Result<Vec<Lesson>, TrainerError> {
        let mut all = Demonstrations::read(&sft.demonstrations)?;
        if let Some(limit) = sft.limit {
            let order = Seed::of_run(self.settings.seed).child("demonstrations", 0).permutation(all.len());
            let mut chosen: Vec<usize> = order.into_iter().take(limit).collect();
            chosen.sort_unstable();
            all = Demonstrations(chosen.into_iter().map(|at| all.0[at].clone()).collect());
        }
        let sayings = Arc::new(all.sayings());
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
        Ok(records.iter().map(|record| Lesson::of(record, self.roster.players())).collect())
    }

    /// Episodes of each task in a step of a stage.
    pub(super) fn samples(&self, stage: &Stage) -> u32 {
        match stage {
            Stage::Sft(_) => 1,
            Stage::Rft(rft) => rft.samples.max(1),
            Stage::Rl(_) => self.roster.cohorts().iter().map(|cohort| cohort.algorithm.group_size).max().unwrap_or(1),
        }
    }

    /// A step of reinforcement learning.
    fn reinforce(&mut self, stage: &Stage, step: u64, seed: Seed) -> Result<StepReport, TrainerError> {
        let start = Instant::now();
        let before = self.engine.progress().tokens;
        let samples = self.samples(stage);
        let dynamic = self.learner.cohorts().iter().find_map(|cohort| cohort.algorithm.dynamic_sampling());
        let mut pool_state = self.state.pool.clone();
        let mut tasks: Vec<Arc<Task>> = vec![];
        let rule =
            self.learner.cohorts().iter().map(|cohort| cohort.algorithm.credit).find(|rule| needs_replays(*rule));
        let (records, credits) = {
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
            let records = match dynamic {
                Some(rule) => rollout.run_dynamic(rule, wanted, &mut draw)?,
                None => rollout.run(&draw(wanted)?, 0)?,
            };
            let credits = match rule {
                Some(rule) => Some(credits(&mut rollout, rule, &records, &tasks)?),
                None => None,
            };
            (records, credits)
        };
        self.state.pool = pool_state;
        let rollout = start.elapsed();
        refuse_all_faults(step, &records)?;
        let start = Instant::now();
        let (episodes, tokens) = (tasks.len() as u64 * u64::from(samples), self.engine.progress().tokens - before);
        let mut teachable = teachable(&records, samples);
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

    /// A step of learning from the team's own best episodes.
    fn distil(&mut self, rft: &Rft, step: u64, seed: Seed) -> Result<StepReport, TrainerError> {
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

    fn tell_curriculum(&mut self, records: &[EpisodeRecord], tasks: &[Arc<Task>]) -> bool {
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

/// What may be learnt from: where groups are compared, a sample that lost all of its group is left out.
fn teachable(records: &[EpisodeRecord], samples: u32) -> Vec<EpisodeRecord> {
    let mut keep: Vec<usize> =
        groups(records).into_values().filter(|group| samples < 2 || group.len() > 1).flatten().collect();
    keep.sort_unstable();
    keep.into_iter().map(|at| records[at].clone()).collect()
}

/// What is known of the first thing that broke an episode.
pub(super) fn first_fault(records: &[EpisodeRecord]) -> String {
    let fault = records.iter().flat_map(|record| &record.faults).find(|fault| !fault.recovered);
    fault.map_or_else(|| "no reward".to_owned(), |fault| fault.message.clone())
}

fn refuse_all_faults(step: u64, records: &[EpisodeRecord]) -> Result<(), TrainerError> {
    if records.iter().any(EpisodeRecord::is_sound) || records.is_empty() {
        return Ok(());
    }
    let mut lost = records.iter().flat_map(|record| &record.faults).filter(|fault| !fault.recovered);
    if let Some(fault) = lost.find(|fault| fault.message.ends_with("are not finite")) {
        return Err(TrainerError::Exploded { step, fault: fault.message.clone() });
    }
    Err(TrainerError::AllFaults { step, episodes: records.len(), fault: first_fault(records) })
}

impl Measures {
    /// A step as named numbers.
    pub fn of(report: &StepReport, trainer: &Trainer) -> Self {
        let mut measures = Self::default();
        let names = trainer.roster().names();
        if !report.records.is_empty() {
            measures.episodes(&report.records);
        }
        if let Some(learnt) = &report.learnt {
            measures.learnt(learnt, &names);
        }
        if let Some(taught) = &report.taught {
            measures.taught(taught, &names);
        }
        let (rollout, learning) = (report.rollout.as_secs_f64(), report.learning.as_secs_f64());
        measures.set("seconds/rollout", rollout);
        measures.set("seconds/learning", learning);
        if let Some(tokens) = measures.get("tokens").filter(|_| rollout > 0.0) {
            measures.set("tokens_per_s/rollout", tokens / rollout);
        }
        if let Some(rows) = measures.get("rows").filter(|_| learning > 0.0) {
            measures.set("tokens_per_s/learning", rows / learning);
        }
        if let Some(level) = trainer.settings().task.curriculum.as_ref().map(|_| trainer.state().pool.curriculum.level)
        {
            measures.set("curriculum/level", level as f64);
        }
        if let Some(bytes) = resident() {
            measures.set("memory/resident_mib", bytes as f64 / f64::from(1 << 20));
        }
        measures
    }
}

/// Memory of the process, as Linux tells it.
fn resident() -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}
