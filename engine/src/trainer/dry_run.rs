//! The dry run: what a run would do and need, without loading a weight.

use std::ops::Range;

use marft_agents::pretrained::{Location, Store};
use marft_agents::train::MemoryPlan;
use marft_algorithms::preset::Algorithm;
use marft_topologies::Team;
use serde::Serialize;

use super::memory::{self, Purpose};
use super::roster::RosterPlan;
use super::steps::samples;
use super::{Plan, Pool, TrainerError};
use crate::learn::needs_replays;
use crate::seed::Seed;
use crate::settings::{RunSettings, Stage};

/// What a run would do.
#[derive(Debug, Clone, Serialize)]
pub struct DryRun {
    /// Everything the run is told.
    pub settings: RunSettings,
    /// What happens, in order.
    pub stages: Vec<StagePlan>,
    /// Agents that learn and the weights they share, `agent → weights`.
    pub learners: Vec<(String, String)>,
    /// Agents that never learn.
    pub others: Vec<String>,
    /// Tasks to train on and held out.
    pub tasks: (usize, usize),
    /// Most calls of policies in one step of an episode.
    pub calls_per_episode: u64,
    /// Most tokens sampled in one step of an episode.
    pub tokens_per_episode: u64,
    /// How often the team is evaluated, where neither a budget nor an early stop ends the run before.
    pub evaluations: u64,
    /// Episodes of an evaluation.
    pub episodes_per_evaluation: u64,
    /// What it takes of memory.
    pub memory: MemoryPlan,
    /// Bytes the machine has.
    pub available: Option<u64>,
}

/// What a stage would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StagePlan {
    /// Its kind.
    pub kind: &'static str,
    /// Its first step, counted over all stages from 1.
    pub first: u64,
    /// Its steps.
    pub steps: u64,
    /// Agents that learn in it.
    pub learners: Vec<String>,
    /// Agents that learn in other stages.
    pub frozen: Vec<String>,
    /// Most episodes of a step; none where demonstrations are learnt.
    pub episodes_per_step: u64,
    /// Whether the rule of credit rolls episodes out again, beside these.
    pub replays: bool,
}

impl StagePlan {
    /// Most episodes of the stage, without replays.
    pub const fn episodes(&self) -> u64 {
        self.steps.saturating_mul(self.episodes_per_step)
    }

    fn new(stage: &Stage, range: &Range<u64>, roster: &RosterPlan, settings: &RunSettings) -> Self {
        let tasks = settings.rollout.tasks as u64;
        let held: &[String] = if let Stage::Rl(rl) = stage { &rl.frozen } else { &[] };
        let players = roster.players.iter().map(|player| player.label.clone());
        let (frozen, learners) = players.partition(|label| held.contains(label));
        let algorithms = || roster.cohorts.iter().map(|cohort| &cohort.algorithm);
        let rounds = algorithms().filter_map(Algorithm::dynamic_sampling).map(|rule| rule.max_rounds);
        let (rounds, replays) = match stage {
            Stage::Rl(_) => (rounds.max().unwrap_or(1), algorithms().any(|algorithm| needs_replays(algorithm.credit))),
            Stage::Sft(_) | Stage::Rft(_) => (1, false),
        };
        let samples = u64::from(samples(stage, &roster.cohorts)).saturating_mul(rounds as u64);
        Self {
            kind: stage.name(),
            first: range.start,
            steps: range.end - range.start,
            learners,
            frozen,
            episodes_per_step: tasks.saturating_mul(samples),
            replays,
        }
    }
}

/// How often a run that does all its steps is evaluated: before the first, at the end of a stage, and now and then.
fn evaluations(plan: &Plan, settings: &RunSettings) -> u64 {
    let ends = plan.stages().iter().filter(|(_, range)| !range.is_empty()).map(|(_, range)| range.end - 1);
    let every = settings.eval.every;
    let now_and_then = plan.steps().checked_div(every).unwrap_or(0);
    let of_their_own = ends.filter(|end| every == 0 || !end.is_multiple_of(every)).count() as u64;
    u64::from(settings.eval.before) + now_and_then + of_their_own
}

impl DryRun {
    /// Looks at everything but weights.
    ///
    /// # Errors
    /// What a run would refuse, the memory it does not have among it.
    pub fn new(settings: &RunSettings, team: &Team) -> Result<Self, TrainerError> {
        let roster = RosterPlan::new(team, settings)?;
        let plan = Plan::new(settings)?;
        let pool = Pool::read(&settings.task, Seed::of_run(settings.seed).child("pool", 0))?;
        let weights = Location::resolve(&settings.model.base, &Store::user()?)?.weights()?;
        let memory = memory::plan(settings, &roster, &weights.config, Purpose::Learning);
        let available = memory::available(settings);
        if let Some(available) = available {
            memory.fit(available)?;
        }
        let worst = team.worst_case();
        let name_of = |policy| {
            roster.weights.iter().find(|own| own.policy == policy).map_or(String::new(), |own| own.name.clone())
        };
        let stages = plan.stages().iter();
        let mut others: Vec<String> = team.agents().map(|(id, _)| team.node(id).label.clone()).collect();
        others.retain(|label| roster.players.iter().all(|player| player.label != *label));
        others.dedup();
        let held_out = settings.eval.tasks.unwrap_or(usize::MAX).min(pool.held_out().len());
        Ok(Self {
            settings: settings.clone(),
            stages: stages.map(|(stage, range)| StagePlan::new(stage, range, &roster, settings)).collect(),
            others,
            learners: roster.players.iter().map(|player| (player.label.clone(), name_of(player.policy))).collect(),
            tasks: (pool.training(), pool.held_out().len()),
            calls_per_episode: worst.calls,
            tokens_per_episode: worst.tokens,
            evaluations: evaluations(&plan, settings),
            episodes_per_evaluation: held_out as u64 * u64::from(settings.eval.samples),
            memory,
            available,
        })
    }
}
