//! Weights and state to a checkpoint and back.
//!
//! ```text
//! <step>/state.json            all that the next step depends on beside weights
//! <step>/<policy>/             adapter in PEFT format, and its optimiser
//! <step>/critics/<n>/          critic and its optimiser
//! <step>/references/<policy>/  the weights that divergences are measured from
//! ```

use std::path::{Path, PathBuf};

use marft_agents::generate::PolicyId;
use marft_agents::lora::ADAPTER_CONFIG;
use marft_agents::train::OPTIMIZER_STATE;

use super::{RunState, Trainer, TrainerError, state};
use crate::learn::reference_of;
use crate::settings::Sharing;

/// Folder of the critics in a checkpoint.
const CRITICS: &str = "critics";
/// Folder of the references in a checkpoint.
const REFERENCES: &str = "references";

/// The weights of a policy in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedPolicy {
    /// The name of its weights.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Whether it is the base itself that was trained, and not an adapter.
    pub full: bool,
}

/// The policies in the folder of a checkpoint, by name.
///
/// # Errors
/// The folder cannot be read.
pub fn saved_policies(checkpoint: &Path) -> std::io::Result<Vec<SavedPolicy>> {
    let mut saved = vec![];
    for entry in fs_err::read_dir(checkpoint)? {
        let entry = entry?;
        let (name, folder) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let full = !folder.join(ADAPTER_CONFIG).is_file();
        // folders of critics and references have neither
        if !full || folder.join(OPTIMIZER_STATE).is_file() {
            saved.push(SavedPolicy { name, folder, full });
        }
    }
    saved.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(saved)
}

impl Trainer {
    /// Writes everything into the folder of a checkpoint.
    ///
    /// # Errors
    /// The disk or the device refuses.
    pub fn save(&self, folder: &Path) -> Result<(), TrainerError> {
        let handle = self.roster.handle();
        for weights in self.roster.weights().iter().filter(|weights| weights.optimizer.is_some()) {
            let own = folder.join(&weights.name);
            fs_err::create_dir_all(&own)?;
            handle.save_policy(weights.policy, own, Some(self.settings.model.base.clone()))?;
        }
        for (id, _) in self.roster.cohorts().iter().filter_map(|cohort| cohort.critic) {
            let own = folder.join(CRITICS).join(id.0.to_string());
            fs_err::create_dir_all(&own)?;
            handle.save_critic(id, own)?;
        }
        for (name, policy) in self.references() {
            let own = folder.join(REFERENCES).join(name);
            fs_err::create_dir_all(&own)?;
            handle.save_policy(policy, own, Some(self.settings.model.base.clone()))?;
        }
        self.state.write(folder)
    }

    /// Goes on from the folder of a checkpoint.
    ///
    /// # Errors
    /// A file that is missing or does not fit.
    pub fn restore(&mut self, folder: &Path) -> Result<(), TrainerError> {
        let state = RunState::read(folder)?;
        let handle = self.roster.handle();
        let Some(place) = self.plan.at(state.step) else {
            let reason = format!("it is of step {}, and the plan has {}", state.step, self.plan.steps());
            return Err(TrainerError::State { path: folder.join(state::FILE), reason });
        };
        for weights in self.roster.weights() {
            if let Some(optimizer) = self.stage_optimizer(weights, place.stage, place.steps) {
                handle.load_policy(weights.policy, folder.join(&weights.name), Some(optimizer))?;
            }
        }
        for (id, _) in self.roster.cohorts().iter().filter_map(|cohort| cohort.critic) {
            handle.load_critic(id, folder.join(CRITICS).join(id.0.to_string()))?;
        }
        // references exist from the beginning of their stage on
        for (name, policy) in self.wanted_references() {
            let own = folder.join(REFERENCES).join(name);
            if own.exists() {
                handle.load_policy(policy, own, None)?;
            }
        }
        self.state = state;
        self.learner.restore(self.state.learn.clone());
        self.engine.restore_memories(self.state.memories.clone());
        Ok(())
    }

    /// Policies whose divergence from a reference is measured, and the references' names on the device.
    fn wanted_references(&self) -> Vec<(String, PolicyId)> {
        let needs = |policy: PolicyId| {
            let cohorts = self.roster.cohorts().iter();
            cohorts.filter(|cohort| cohort.algorithm.needs_reference()).any(|own| own.policies().contains(&policy))
        };
        let wanted = self.roster.weights().iter().filter(|own| own.optimizer.is_some() && needs(own.policy));
        wanted.map(|own| (own.name.clone(), reference_of(own.policy))).collect()
    }

    /// References that are there already.
    fn references(&self) -> Vec<(String, PolicyId)> {
        let begun = self
            .plan
            .stages()
            .iter()
            .any(|(stage, range)| matches!(stage, crate::settings::Stage::Rl(_)) && range.start <= self.state.step);
        if begun { self.wanted_references() } else { vec![] }
    }

    /// Takes the weights as they are now for references.
    pub(super) fn take_references(&self) -> Result<(), TrainerError> {
        let wanted = self.wanted_references();
        if wanted.is_empty() {
            return Ok(());
        }
        if self.settings.model.weights == Sharing::Full {
            return Err(TrainerError::Setting(
                "a divergence from a reference needs adapters: with weights = \"full\" there is no second base"
                    .to_owned(),
            ));
        }
        let folder = tempfile::tempdir()?;
        let handle = self.roster.handle();
        for (name, reference) in wanted {
            let own = folder.path().join(&name);
            fs_err::create_dir_all(&own)?;
            let of = self.roster.weights().iter().find(|weights| weights.name == name);
            if let Some(weights) = of {
                handle.save_policy(weights.policy, own.clone(), None)?;
                handle.load_policy(reference, own, None)?;
            }
        }
        Ok(())
    }
}
