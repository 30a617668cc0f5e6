//! The trainer: stages of supervised and reinforcement learning over one team, evaluated, saved and resumable.
//!
//! [`Trainer`] does the steps of a run and knows no folder. [`Run`] drives a trainer and writes down what happens: metrics,
//! episodes, checkpoints. A step that was saved is a step that can be gone on from, bit for bit; a step that was not is done
//! again with the same numbers.
//!
//! | file | what it is about |
//! |---|---|
//! | `plan` | which step belongs to which stage |
//! | `roster` | which agents speak with which weights, and the device that holds them |
//! | `pool` | tasks, their split, and the order in which they are drawn |
//! | `rollout` | tasks to closed episodes |
//! | `steps` | what every step begins with and leaves behind |
//! | `imitate`, `reinforce`, `distil` | a step of each kind of stage |
//! | `evaluation` | scores on held-out tasks |
//! | `measures`, `vitals` | a step as named numbers, and those that warnings are drawn from |
//! | `run`, `folder` | the loop around it all, and what it writes |
//! | `saving`, `files` | weights and state to a checkpoint and back, and which files it has |
//! | `serving` | adapters to servers that are running |
//! | `replay` | one episode of a run once more |
//! | `replays` | what agents and turns were worth, by episodes rolled out without them |
//! | `dry_run` | what a run would do |
//! | `memory` | what it takes of memory, and whether the machine has it |
//! | `bench` | what all this costs around generation and training |

pub mod bench;
mod distil;
mod dry_run;
mod error;
mod evaluation;
mod files;
mod folder;
mod imitate;
mod measures;
mod memory;
mod observer;
mod plan;
mod pool;
mod reinforce;
mod replay;
mod replays;
mod rollout;
mod roster;
mod run;
mod saving;
mod serving;
mod state;
mod steps;
#[cfg(test)]
mod tests;
mod vitals;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use marft_agents::train::PassOptions;
use marft_topologies::Team;

pub use dry_run::{DryRun, StagePlan};
pub use error::TrainerError;
pub use evaluation::{Evaluation, score};
pub use folder::{Bundle, Folder};
pub use measures::Measures;
pub use observer::{Event, Observer, Quiet, Stop};
pub use plan::{Place, Plan};
pub use pool::{Pool, PoolState};
pub use replay::EpisodeId;
pub use rollout::Sampling;
pub use roster::{Roster, RosterPlan, Weights};
pub use run::{End, Run};
pub use saving::{SavedPolicy, saved_policies};
pub use serving::Served;
pub use state::RunState;
pub use steps::StepReport;

use crate::environment::Environment;
use crate::episode::EpisodeRecord;
use crate::learn::{Learner, LearnerConfig, Lesson};
use crate::seed::Seed;
use crate::settings::file::Loaded;
use crate::settings::{Registry, RunSettings};
use crate::task::Task;
use crate::voice::Voice;
use crate::world::{Engine, EngineConfig};
use memory::Purpose;
use rollout::Rollout;

/// Answers that may wait for the world.
const QUEUE: usize = 1 << 16;

/// Does the steps of a run.
#[derive(Debug)]
pub struct Trainer {
    settings: RunSettings,
    team: Arc<Team>,
    registry: Registry,
    roster: Roster,
    pool: Pool,
    plan: Plan,
    engine: Engine,
    learner: Learner,
    state: RunState,
    /// Demonstrations as episodes to learn, by stage.
    lessons: BTreeMap<usize, Vec<Lesson>>,
}

impl Trainer {
    /// A trainer before its first step.
    ///
    /// # Errors
    /// Whatever a run needs and cannot have: model, rows, memory.
    pub fn new(loaded: Loaded, registry: Registry) -> Result<Self, TrainerError> {
        Self::assemble(loaded, registry, Purpose::Learning)
    }

    /// A trainer that plays and scores episodes and does no step: it may do with less memory.
    ///
    /// # Errors
    /// Whatever episodes need and cannot have: model, rows, memory.
    pub fn to_evaluate(loaded: Loaded, registry: Registry) -> Result<Self, TrainerError> {
        Self::assemble(loaded, registry, Purpose::Speaking)
    }

    fn assemble(loaded: Loaded, registry: Registry, purpose: Purpose) -> Result<Self, TrainerError> {
        let Loaded { settings, team, .. } = loaded;
        let seed = Seed::of_run(settings.seed);
        let pool = Pool::read(&settings.task, seed.child("pool", 0))?;
        let plan = Plan::new(&settings)?;
        memory::check(&team, &settings, purpose)?;
        let mut roster = Roster::assemble(&team, &settings)?;
        let voices = roster.voices()?;
        let engine = world(&team, &settings, &registry, voices)?;
        let learner = learner(&roster, roster.cohorts().to_vec(), &settings)?;
        let state = RunState::default();
        Ok(Self { settings, team, registry, roster, pool, plan, engine, learner, state, lessons: BTreeMap::new() })
    }

    /// What the run is told.
    pub fn settings(&self) -> &RunSettings {
        &self.settings
    }

    /// The plan of stages.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Who speaks and learns.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The tasks.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Where the run stands.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// Rolls out `samples` episodes of each task without learning. `root` is where their random numbers come from; a
    /// `temperature` replaces those of the agents.
    ///
    /// # Errors
    /// The world stands still.
    pub fn roll_out(
        &mut self,
        tasks: &[Arc<Task>],
        samples: u32,
        root: Seed,
        temperature: Option<f64>,
    ) -> Result<Vec<EpisodeRecord>, TrainerError> {
        let environment = environments(&self.registry, &self.settings);
        let (concurrency, step) = (self.settings.rollout.concurrency, self.state.step);
        let engine = &mut self.engine;
        Rollout { engine, environment: &environment, concurrency, step, seed: root, samples, temperature }.run(tasks, 0)
    }

    /// Evaluates on held-out tasks, as the settings say. Every evaluation of a run draws the same random numbers, so that
    /// two of them differ by the weights alone. `None` where every episode broke.
    ///
    /// # Errors
    /// The world stands still.
    pub fn evaluate(&mut self) -> Result<(Option<Evaluation>, Vec<EpisodeRecord>), TrainerError> {
        let eval = self.settings.eval.clone();
        let tasks = self.pool.sample_held_out(eval.tasks);
        let root = Seed::of_run(self.settings.seed).child("evaluation", 0);
        let records = self.roll_out(&tasks, eval.samples, root, eval.temperature);
        // what was said in an evaluation must not be remembered in training
        self.engine.restore_memories(self.state.memories.clone());
        let records = records?;
        let untrained = self.state.untrained.as_ref();
        Ok((evaluation::evaluate(self.state.step, &records, &tasks, &eval, untrained), records))
    }
}

/// A world with these voices, judged as the settings say.
fn world(
    team: &Arc<Team>,
    settings: &RunSettings,
    registry: &Registry,
    voices: Vec<Arc<dyn Voice>>,
) -> Result<Engine, TrainerError> {
    let reward = settings.composite(registry).map_err(|error| TrainerError::Setting(error.to_string()))?;
    let tools = settings.toolbox(registry).map_err(TrainerError::Setting)?;
    let rollout = &settings.rollout;
    let config = EngineConfig {
        retries: rollout.retries,
        queue: QUEUE,
        long_context: rollout.long_context,
        tools,
        patience: rollout.turn_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        ..EngineConfig::new(Arc::clone(team), voices, reward)
    };
    Ok(Engine::new(config)?)
}

/// A learner over `cohorts`.
fn learner(
    roster: &Roster,
    cohorts: Vec<crate::learn::Cohort>,
    settings: &RunSettings,
) -> Result<Learner, TrainerError> {
    let batch_tokens = settings.train.batch_tokens;
    let checkpointing = settings.train.checkpointing;
    Ok(Learner::new(LearnerConfig {
        handle: roster.handle(),
        cohorts,
        pass: PassOptions { checkpointing, batch_tokens, ..PassOptions::default() },
        batch_tokens,
        recompute_logprobs: settings.rollout.recompute_logprobs,
        seed: Seed::of_run(settings.seed),
    })?)
}

/// Makes environments of the kind that the settings name.
fn environments<'a>(
    registry: &'a Registry,
    settings: &'a RunSettings,
) -> impl Fn() -> Result<Box<dyn Environment>, TrainerError> + use<'a> {
    let kind = &settings.task.environment;
    let refuse = |error: &str| TrainerError::Setting(format!("environment `{}`: {error}", kind.kind));
    move || {
        let made = registry.environments.make(kind).ok_or_else(|| refuse("no such kind is registered"))?;
        made.map_err(|error| refuse(&error.to_string()))
    }
}
