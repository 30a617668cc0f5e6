//! The dry run: what a run would do and need, without loading a weight.

use marft_agents::pretrained::{Location, Store};
use marft_agents::train::{MemoryPlan, PlanRequest};
use marft_topologies::Team;
use serde::Serialize;

use super::roster::{RosterPlan, placement};
use super::{Plan, Pool, TrainerError};
use crate::seed::Seed;
use crate::settings::{RunSettings, Sharing};

/// What a run would do.
#[derive(Debug, Clone, Serialize)]
pub struct DryRun {
    /// Everything the run is told.
    pub settings: RunSettings,
    /// Stages by name, with their first step and their steps.
    pub stages: Vec<(String, u64, u64)>,
    /// Agents that learn and the weights they share, `agent → weights`.
    pub learners: Vec<(String, String)>,
    /// Tasks to train on and held out.
    pub tasks: (usize, usize),
    /// Episodes of one step.
    pub episodes_per_step: u64,
    /// Most calls of policies in one step of an episode.
    pub calls_per_episode: u64,
    /// Most tokens sampled in one step of an episode.
    pub tokens_per_episode: u64,
    /// What it takes of memory.
    pub memory: MemoryPlan,
    /// Bytes the machine has.
    pub available: Option<u64>,
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
        let full = settings.model.weights == Sharing::Full;
        let adapters: Vec<_> = roster
            .weights
            .iter()
            .filter(|own| !full && (own.optimizer.is_some() || own.adapter.is_some()))
            .map(|own| (settings.model.lora.clone(), own.optimizer.is_some()))
            .collect();
        let critics: Vec<_> =
            roster.cohorts.iter().filter_map(|cohort| roster.critic(cohort, settings)).map(|(_, own)| own).collect();
        let memory = MemoryPlan::new(&PlanRequest {
            model: &weights.config,
            placement: placement(settings),
            adapters: &adapters,
            full,
            critics: &critics,
            kv_bytes: settings.model.cache_mib << 20,
            train_rows: settings.train.batch_tokens,
            checkpointing: settings.train.checkpointing,
        });
        let available = available(settings);
        if let Some(available) = available {
            memory.fit(available)?;
        }
        let group = roster.cohorts.iter().map(|cohort| cohort.algorithm.group_size).max().unwrap_or(1);
        let worst = team.worst_case();
        let name_of = |policy| {
            roster.weights.iter().find(|own| own.policy == policy).map_or(String::new(), |own| own.name.clone())
        };
        Ok(Self {
            settings: settings.clone(),
            stages: plan
                .stages()
                .iter()
                .map(|(stage, range)| (stage.name().to_owned(), range.start, range.end - range.start))
                .collect(),
            learners: roster.players.iter().map(|player| (player.label.clone(), name_of(player.policy))).collect(),
            tasks: (pool.training(), pool.held_out().len()),
            episodes_per_step: settings.rollout.tasks as u64 * u64::from(group),
            calls_per_episode: worst.calls,
            tokens_per_episode: worst.tokens,
            memory,
            available,
        })
    }
}

/// Memory that the device has.
fn available(settings: &RunSettings) -> Option<u64> {
    if !matches!(settings.model.device, crate::settings::DeviceName::Cpu) {
        return None;
    }
    let info = fs_err::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("MemAvailable:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}
