//! What other threads ask of training on a device: the methods of [`PolicyTable`], run where the tensors are.
//!
//! A command that changes the weights of a policy waits until the generations of that policy that were asked for before it
//! are done, and those asked for after it see the new version. Where the policy trains the base itself it waits for all.

use std::path::PathBuf;

use super::error::TrainError;
use super::optimizer::{OptimizerConfig, UpdateReport};
use super::policy::PolicySpec;
use super::sequence::TrainSequence;
use super::table::{LossFn, PassOptions, PassReport, PolicyTable, SequenceScores};
use crate::critic::{CriticConfig, CriticId};
use crate::device::{Alone, Device, DeviceError, DeviceHandle};
use crate::generate::{Policies, PolicyId};

/// Why a training command gave no result.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The command ran and failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The device thread did not run it to its end.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl DeviceHandle<PolicyTable> {
    /// Adds a policy.
    pub fn add_policy(&self, id: PolicyId, spec: PolicySpec) -> Result<(), CommandError> {
        let alone = if matches!(spec, PolicySpec::Full { .. }) { Alone::Entirely } else { Alone::No };
        Ok(self.call(alone, move |device| device.policies.add(id, &spec, &mut device.decoder))??)
    }

    /// Takes a policy away.
    pub fn remove_policy(&self, id: PolicyId) -> Result<(), CommandError> {
        let removed = self.call(Alone::Policy(id), move |device| {
            forget(device, id);
            device.policies.remove(id).map(drop)
        })?;
        Ok(removed.ok_or(TrainError::UnknownPolicy(id))?)
    }

    /// Adds or replaces a critic.
    pub fn set_critic(&self, id: CriticId, config: CriticConfig, seed: u64) -> Result<(), CommandError> {
        Ok(self.call(Alone::No, move |device| device.policies.set_critic(id, &config, &device.decoder, seed))??)
    }

    /// Scores sequences under their policies, without a gradient.
    pub fn score(
        &self,
        sequences: Vec<TrainSequence>,
        options: PassOptions,
    ) -> Result<Vec<SequenceScores>, CommandError> {
        Ok(self.call(Alone::No, move |device| device.policies.score(&device.decoder, &sequences, options))??)
    }

    /// Runs sequences in one pass and collects the gradients of a loss of the outcome; drops all collected ones if it fails.
    pub fn accumulate(
        &self,
        sequences: Vec<TrainSequence>,
        options: PassOptions,
        loss: LossFn,
    ) -> Result<PassReport, CommandError> {
        let outcome = self.call(Alone::No, move |device| {
            let outcome = device.policies.accumulate(&device.decoder, &sequences, options, loss);
            if outcome.is_err() {
                device.policies.discard()?;
            }
            outcome
        });
        if matches!(outcome, Err(DeviceError::Panicked(_))) {
            self.discard_gradients()?;
        }
        Ok(outcome??)
    }

    /// Applies the gradients that a policy has collected.
    pub fn update(&self, id: PolicyId) -> Result<UpdateReport, CommandError> {
        let outcome = self.call(Alone::Policy(id), move |device| {
            let report = device.policies.update(id)?;
            forget(device, id);
            Ok::<_, TrainError>(report)
        })?;
        Ok(outcome?)
    }

    /// Applies the gradients that a critic has collected.
    pub fn update_critic(&self, id: CriticId) -> Result<UpdateReport, CommandError> {
        Ok(self.call(Alone::No, move |device| device.policies.update_critic(id))??)
    }

    /// Drops every gradient collected since the last updates.
    pub fn discard_gradients(&self) -> Result<(), CommandError> {
        Ok(self.call(Alone::No, |device| device.policies.discard())??)
    }

    /// Hands memory that nothing holds any more back to the system.
    pub fn hand_back_memory(&self) -> Result<(), CommandError> {
        Ok(self.call(Alone::No, |_| marft_torch::memory::hand_back())?)
    }

    /// Writes a policy's adapter and its optimiser's state into a folder. `base` is what the settings name as base model.
    pub fn save_policy(&self, id: PolicyId, folder: PathBuf, base: Option<String>) -> Result<(), CommandError> {
        Ok(self.call(Alone::No, move |device| device.policies.save(id, &folder, base.as_deref()))??)
    }

    /// Puts the adapter in a folder under `id`, with the optimiser's state beside it if it is to be trained.
    pub fn load_policy(
        &self,
        id: PolicyId,
        folder: PathBuf,
        optimizer: Option<OptimizerConfig>,
    ) -> Result<(), CommandError> {
        let outcome = self.call(Alone::Policy(id), move |device| {
            device.policies.load(id, &folder, optimizer, &device.decoder)?;
            forget(device, id);
            Ok::<_, TrainError>(())
        })?;
        Ok(outcome?)
    }

    /// Writes a critic's weights and state into a folder.
    pub fn save_critic(&self, id: CriticId, folder: PathBuf) -> Result<(), CommandError> {
        Ok(self.call(Alone::No, move |device| device.policies.save_critic(id, &folder))??)
    }

    /// Reads a critic's weights and state from a folder into the critic of the same settings.
    pub fn load_critic(&self, id: CriticId, folder: PathBuf) -> Result<(), CommandError> {
        Ok(self.call(Alone::No, move |device| device.policies.load_critic(id, &folder))??)
    }
}

/// Forgets the keys and values that the weights of a policy have made.
fn forget(device: &mut Device<PolicyTable>, id: PolicyId) {
    if device.policies.owns_base(id) {
        device.generator.forget_all();
    } else {
        device.generator.forget(id);
    }
}
