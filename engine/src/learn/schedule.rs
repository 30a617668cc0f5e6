//! The `Learn` schedule: systems over the resources of one step, in a chain. No tensor among them: what has tensors runs on
//! the device thread.

use std::collections::BTreeMap;

use bevy_ecs::prelude::*;
use bevy_ecs::schedule::{LogLevel, ScheduleBuildSettings, ScheduleLabel, SingleThreadedExecutor};
use marft_agents::device::DeviceHandle;
use marft_agents::train::{PassOptions, PolicyTable};
use marft_algorithms::advantage::rae::Rae;
use marft_algorithms::kl::KlController;
use serde::{Deserialize, Serialize};

use super::estimate::{Estimated, Means, estimate};
use super::gather::{Gathered, gather};
use super::pack::{Laps, Moment, lay_out};
use super::report::Gap;
use super::supervised::teach;
use super::update::Update;
use super::{Cohort, Credits, LearnError, LearnReport, Lesson, SupervisedReport};
use crate::episode::EpisodeRecord;
use crate::seed::Seed;

/// What a learner is made of.
#[derive(Debug, Clone, Resource)]
pub struct LearnerConfig {
    /// The device with the weights.
    pub handle: DeviceHandle<PolicyTable>,
    /// Who learns.
    pub cohorts: Vec<Cohort>,
    /// How passes run; the temperature is the agents' own.
    pub pass: PassOptions,
    /// Most tokens of one training pass.
    pub batch_tokens: usize,
    /// Take old log-probabilities from the trainer instead of the sampler.
    pub recompute_logprobs: bool,
    /// Root of shuffles and orders.
    pub seed: Seed,
}

/// What a learner remembers from step to step; goes into the checkpoint.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, Resource)]
#[serde(deny_unknown_fields)]
pub struct LearnState {
    /// Batches learnt from.
    pub updates: u64,
    /// Environment steps of all episodes.
    pub environment_steps: u64,
    /// Running baselines, by cohort.
    pub baselines: BTreeMap<usize, Rae>,
    /// Coefficients of divergences and how they move, by cohort.
    #[serde(default)]
    pub controllers: BTreeMap<usize, KlController>,
}

#[derive(Resource, Default)]
struct Records(Vec<EpisodeRecord>, Credits);

#[derive(Resource, Default)]
struct Batches(Vec<(Gathered, Estimated, Laps)>);

#[derive(Resource, Default)]
struct Published(LearnReport);

/// The first thing that went wrong; systems after it do not run.
#[derive(Resource, Default)]
struct Trouble(Option<LearnError>);

#[derive(ScheduleLabel, Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Learn;

#[derive(SystemSet, Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Gather,
    Credit,
    Pack,
    Update,
    Publish,
}

/// Learns from episodes.
pub struct Learner {
    world: World,
    learn: Schedule,
}

impl std::fmt::Debug for Learner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Learner").field("state", self.state()).finish_non_exhaustive()
    }
}

impl Learner {
    /// A learner without history.
    ///
    /// # Errors
    /// An algorithm refuses its settings.
    pub fn new(config: LearnerConfig) -> Result<Self, LearnError> {
        let mut world = World::new();
        world.insert_resource(LearnState::fresh(&config.cohorts)?);
        world.insert_resource(config);
        world.init_resource::<Records>();
        world.init_resource::<Batches>();
        world.init_resource::<Published>();
        world.init_resource::<Trouble>();
        let mut learn = Schedule::new(Learn);
        learn.set_executor(SingleThreadedExecutor::new());
        learn.set_build_settings(ScheduleBuildSettings {
            ambiguity_detection: LogLevel::Error,
            ..ScheduleBuildSettings::default()
        });
        learn.configure_sets((Phase::Gather, Phase::Credit, Phase::Pack, Phase::Update, Phase::Publish).chain());
        learn.add_systems((
            gather_rows.pipe(keep).in_set(Phase::Gather),
            credit_turns.pipe(keep).in_set(Phase::Credit).run_if(untroubled),
            pack_rows.pipe(keep).in_set(Phase::Pack).run_if(untroubled),
            update_weights.pipe(keep).in_set(Phase::Update).run_if(untroubled),
            publish.pipe(keep).in_set(Phase::Publish),
        ));
        Ok(Self { world, learn })
    }

    /// Learns from a step's episodes. Those that are not sound are left out. `credits` are for rules that need replays; others
    /// take none.
    ///
    /// # Errors
    /// A formula or the device refuses. Updates of mini-batches before the one that failed stand.
    pub fn learn(&mut self, records: Vec<EpisodeRecord>, credits: Credits) -> Result<LearnReport, LearnError> {
        *self.world.resource_mut::<Records>() = Records(records, credits);
        self.world.insert_resource(Published::default());
        self.learn.run(&mut self.world);
        match self.world.resource_mut::<Trouble>().0.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut self.world.resource_mut::<Published>().0)),
        }
    }

    /// One supervised update on `lessons`.
    ///
    /// # Errors
    /// The device refuses.
    pub fn teach(&mut self, lessons: &[Lesson]) -> Result<SupervisedReport, LearnError> {
        let config = self.world.resource::<LearnerConfig>();
        teach(&config.handle, lessons, config.pass, config.batch_tokens)
    }

    /// Who learns.
    pub fn cohorts(&self) -> &[Cohort] {
        &self.world.resource::<LearnerConfig>().cohorts
    }

    /// What it remembers.
    pub fn state(&self) -> &LearnState {
        self.world.resource::<LearnState>()
    }

    /// Makes it remember what an earlier learner did. What that one knew nothing of begins afresh.
    pub fn restore(&mut self, mut state: LearnState) {
        let fresh = std::mem::take(&mut *self.world.resource_mut::<LearnState>());
        for (index, baseline) in fresh.baselines {
            state.baselines.entry(index).or_insert(baseline);
        }
        for (index, controller) in fresh.controllers {
            state.controllers.entry(index).or_insert(controller);
        }
        self.world.insert_resource(state);
    }
}

impl LearnState {
    /// The state before the first batch.
    fn fresh(cohorts: &[Cohort]) -> Result<Self, LearnError> {
        let mut state = Self::default();
        for cohort in cohorts {
            state.baselines.extend(cohort.algorithm.rae()?.map(|baseline| (cohort.index, baseline)));
            state.controllers.extend(cohort.controller().map(|controller| (cohort.index, controller)));
        }
        Ok(state)
    }

    /// A cohort, with the coefficient that its divergence has now.
    fn steered(&self, cohort: &Cohort) -> Cohort {
        cohort.steered(self.controllers.get(&cohort.index).map(KlController::coefficient))
    }
}

/// Whether nothing has gone wrong so far.
fn untroubled(trouble: Res<'_, Trouble>) -> bool {
    trouble.0.is_none()
}

/// The end of a system's pipe: keeps its error.
fn keep(In(outcome): In<Result<(), LearnError>>, mut trouble: ResMut<'_, Trouble>) {
    if let Err(error) = outcome {
        trouble.0.get_or_insert(error);
    }
}

fn gather_rows(
    config: Res<'_, LearnerConfig>,
    records: Res<'_, Records>,
    mut batches: ResMut<'_, Batches>,
) -> Result<(), LearnError> {
    batches.0.clear();
    for cohort in &config.cohorts {
        batches.0.push((gather(&records.0, cohort)?, Estimated::default(), Laps::default()));
    }
    Ok(())
}

fn credit_turns(
    config: Res<'_, LearnerConfig>,
    records: Res<'_, Records>,
    mut state: ResMut<'_, LearnState>,
    mut batches: ResMut<'_, Batches>,
    mut published: ResMut<'_, Published>,
) -> Result<(), LearnError> {
    for ((gathered, estimated, _), cohort) in batches.0.iter_mut().zip(&config.cohorts) {
        if gathered.turns.is_empty() {
            continue;
        }
        let cohort = &state.steered(cohort);
        let baselines = state.baselines.get_mut(&cohort.index);
        let (handle, pass, recompute) = (&config.handle, config.pass, config.recompute_logprobs);
        let means = Means { handle, pass, recompute, baselines, credits: &records.1 };
        match estimate(&records.0, cohort, gathered, means) {
            Ok(found) => *estimated = found,
            Err(error) if error.is_not_finite() => {
                *gathered = Gathered::default();
                published.0.drop_update(&cohort.policies());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn pack_rows(
    config: Res<'_, LearnerConfig>,
    state: Res<'_, LearnState>,
    records: Res<'_, Records>,
    mut batches: ResMut<'_, Batches>,
) -> Result<(), LearnError> {
    let LearnState { updates: update, environment_steps: before, .. } = *state;
    let batch = environment_steps(&records.0);
    for ((gathered, _, laps), cohort) in batches.0.iter_mut().zip(&config.cohorts) {
        let seed = config.seed.child("learn", update).child("cohort", cohort.index as u64);
        let environment_steps = cohort.algorithm.environment_steps(before, batch);
        *laps = lay_out(cohort, gathered, &Moment { update, environment_steps, seed })?;
    }
    Ok(())
}

fn update_weights(
    config: Res<'_, LearnerConfig>,
    state: Res<'_, LearnState>,
    batches: Res<'_, Batches>,
    mut published: ResMut<'_, Published>,
) -> Result<(), LearnError> {
    let LearnerConfig { handle, pass, batch_tokens, .. } = &*config;
    let mut gap = Gap::default();
    for ((gathered, estimated, laps), cohort) in batches.0.iter().zip(&config.cohorts) {
        let cohort = &state.steered(cohort);
        let (pass, batch_tokens) = (*pass, *batch_tokens);
        Update { handle, cohort, gathered, estimated, pass, batch_tokens, laps }.run(&mut published.0, &mut gap)?;
    }
    (published.0.logprob_gap, published.0.logprob_gap_max) = gap.told();
    Ok(())
}

/// Steps of the environments of all episodes together.
fn environment_steps(records: &[EpisodeRecord]) -> u64 {
    let steps = |record: &EpisodeRecord| record.turns.iter().map(|turn| u64::from(turn.step) + 1).max().unwrap_or(0);
    records.iter().map(steps).sum()
}

fn publish(
    config: Res<'_, LearnerConfig>,
    trouble: Res<'_, Trouble>,
    mut records: ResMut<'_, Records>,
    mut batches: ResMut<'_, Batches>,
    mut state: ResMut<'_, LearnState>,
    mut published: ResMut<'_, Published>,
) -> Result<(), LearnError> {
    let taken = std::mem::take(&mut records.0);
    let batches = std::mem::take(&mut batches.0);
    if trouble.0.is_some() {
        return Ok(());
    }
    state.updates += 1;
    state.environment_steps += environment_steps(&taken);
    published.0.describe(batches.iter().map(|(_, estimated, _)| estimated));
    for ((gathered, estimated, _), cohort) in batches.iter().zip(&config.cohorts) {
        let Some(controller) = state.controllers.get_mut(&cohort.index) else { continue };
        let policies = cohort.policies();
        published.0.kl_coefficient.extend(policies.iter().map(|policy| (*policy, controller.coefficient())));
        let kl = estimated.kl_in_reward.or_else(|| published.0.kl_reference(&policies));
        // a divergence that is no number is an update that was dropped: the coefficient stays
        if let Some(kl) = kl.filter(|kl| kl.is_finite()) {
            controller.update(kl, gathered.episodes.len())?;
        }
    }
    Ok(())
}
