//! What a run takes of memory, and whether the machine has it.

use marft_agents::model::ModelConfig;
use marft_agents::pretrained::{Location, Store};
use marft_agents::train::{MemoryPlan, PlanRequest, available_memory};
use marft_topologies::Team;

use super::TrainerError;
use super::roster::{RosterPlan, placement};
use crate::settings::{RunSettings, Sharing};

/// What a trainer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Steps of training.
    Learning,
    /// Episodes alone: no pass is kept for its way back.
    Speaking,
}

/// Reckons for `roster` on a base of shape `model`.
pub(super) fn plan(settings: &RunSettings, roster: &RosterPlan, model: &ModelConfig, purpose: Purpose) -> MemoryPlan {
    let full = settings.model.weights == Sharing::Full;
    let adapters: Vec<_> = roster
        .weights
        .iter()
        .filter(|own| !full && (own.optimizer.is_some() || own.adapter.is_some()))
        .map(|own| (settings.model.lora.clone(), own.optimizer.is_some()))
        .collect();
    let critics: Vec<_> =
        roster.cohorts.iter().filter_map(|cohort| roster.critic(cohort, settings)).map(|(_, own)| own).collect();
    MemoryPlan::new(&PlanRequest {
        model,
        placement: placement(settings),
        adapters: &adapters,
        full,
        critics: &critics,
        kv_bytes: settings.model.cache_mib << 20,
        train_rows: if purpose == Purpose::Learning { settings.train.batch_tokens } else { 0 },
        checkpointing: settings.train.checkpointing,
    })
}

/// Memory that the device has, where that is known.
pub(super) fn available(settings: &RunSettings) -> Option<u64> {
    available_memory(placement(settings).device)
}

/// Logs what the run takes, and refuses it where the device does not have that. Nothing has been loaded by then.
pub(super) fn check(team: &Team, settings: &RunSettings, purpose: Purpose) -> Result<(), TrainerError> {
    let roster = RosterPlan::new(team, settings)?;
    let weights = Location::resolve(&settings.model.base, &Store::user()?)?.weights()?;
    let plan = plan(settings, &roster, &weights.config, purpose);
    let available = available(settings);
    tracing::info!("memory: the run {}", plan.summary(available));
    Ok(available.map_or(Ok(()), |bytes| plan.fit(bytes))?)
}
