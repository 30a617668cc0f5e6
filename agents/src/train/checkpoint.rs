//! What a policy needs to go on training bit for bit: its adapter in PEFT format, and the optimiser's state beside it.

use std::collections::HashMap;
use std::path::Path;

use tch::{Kind, Tensor};

use super::error::TrainError;
use super::optimizer::{Optimizer, OptimizerConfig};
use super::policy::Policy;
use super::table::PolicyTable;
use crate::critic::CriticId;
use crate::generate::PolicyId;
use crate::lora::{load_adapter, save_adapter};
use crate::model::Decoder;
use crate::tensor_file::{self, ReadError, TensorFile};

/// Name of the optimiser's state in a policy's folder, and of the masters of a base that is trained.
pub const OPTIMIZER_STATE: &str = "optimizer.safetensors";
/// Metadata of a state: updates done, and the version of the policy.
const COUNTS: &str = "counts";
/// Name of a critic's weights and state in its folder.
pub(super) const CRITIC_STATE: &str = "critic.safetensors";

impl PolicyTable {
    /// Writes a policy's adapter, and its optimiser's state if it has one, into `folder`. Gradients that wait for an update
    /// are not part of it. A policy that trains the base writes the f32 masters of all its weights beside the state; one that
    /// is the base as it was has nothing to write.
    pub fn save(&self, id: PolicyId, folder: &Path, base: Option<&str>) -> Result<(), TrainError> {
        let policy = self.policy(id)?;
        if let Some(adapter) = policy.adapter() {
            // The state first: a folder with an adapter in it is then complete.
            if let Some(optimizer) = &policy.optimizer {
                write_state(&folder.join(OPTIMIZER_STATE), optimizer, &[], policy.version)?;
            }
            save_adapter(adapter, folder, base)?;
        } else if let Some(optimizer) = &policy.optimizer {
            write_state(&folder.join(OPTIMIZER_STATE), optimizer, &optimizer.parameters, policy.version)?;
        }
        Ok(())
    }

    /// Puts the adapter in `folder` under `id`, in place of a policy of that name if there is one. With `optimizer` it goes
    /// on training from the state beside it, or from none if there is no such file. Where `id` trains the base, its weights
    /// and state are read instead.
    pub fn load(
        &mut self,
        id: PolicyId,
        folder: &Path,
        optimizer: Option<OptimizerConfig>,
        decoder: &Decoder,
    ) -> Result<(), TrainError> {
        if self.policies.get(&id).is_some_and(Policy::is_full) {
            return self.load_full(id, folder, optimizer);
        }
        let adapter = load_adapter(folder, decoder.config(), decoder.placement())?;
        let mut policy = Policy::with_adapter(adapter, optimizer)?;
        let path = folder.join(OPTIMIZER_STATE);
        if let Some(optimizer) = policy.optimizer.as_mut().filter(|_| path.exists()) {
            policy.version = read_state(&path, optimizer, &[])?;
        }
        self.policies.insert(id, policy);
        Ok(())
    }

    fn load_full(&mut self, id: PolicyId, folder: &Path, config: Option<OptimizerConfig>) -> Result<(), TrainError> {
        let policy = self.policy_mut(id)?;
        let Some(optimizer) = &mut policy.optimizer else { return Err(TrainError::Frozen(id.to_string())) };
        if let Some(config) = config {
            optimizer.set_config(config)?;
        }
        let masters: Vec<_> = optimizer.parameters.iter().map(Tensor::shallow_clone).collect();
        policy.version = read_state(&folder.join(OPTIMIZER_STATE), optimizer, &masters)?;
        policy.refresh();
        self.features.clear();
        Ok(())
    }

    /// Writes a critic's weights and its optimiser's state into `folder`.
    pub fn save_critic(&self, id: CriticId, folder: &Path) -> Result<(), TrainError> {
        let critic = self.critics.get(&id).ok_or(TrainError::UnknownCritic { critic: id.0, head: 0 })?;
        write_state(&folder.join(CRITIC_STATE), &critic.optimizer, &critic.optimizer.parameters, 0)
    }

    /// Reads them back into a critic made with the same settings.
    pub fn load_critic(&mut self, id: CriticId, folder: &Path) -> Result<(), TrainError> {
        let critic = self.critics.get_mut(&id).ok_or(TrainError::UnknownCritic { critic: id.0, head: 0 })?;
        let weights: Vec<_> = critic.optimizer.parameters.iter().map(Tensor::shallow_clone).collect();
        read_state(&folder.join(CRITIC_STATE), &mut critic.optimizer, &weights)?;
        if let Some(adapter) = &mut critic.adapter {
            adapter.refresh();
        }
        Ok(())
    }
}

/// The tensors of a state file by name: moments and steps, and weights where they have no file of their own.
fn named<'a>(optimizer: &'a Optimizer, weights: &'a [Tensor]) -> impl Iterator<Item = (String, &'a Tensor)> {
    let lists = [("first", &optimizer.first), ("second", &optimizer.second), ("step", &optimizer.steps)];
    let state = lists.into_iter().flat_map(|(list, tensors)| numbered(list, tensors));
    state.chain(numbered("weight", weights))
}

fn numbered<'a>(list: &'static str, tensors: &'a [Tensor]) -> impl Iterator<Item = (String, &'a Tensor)> {
    tensors.iter().enumerate().map(move |(index, tensor)| (format!("{list}.{index}"), tensor))
}

fn write_state(path: &Path, optimizer: &Optimizer, weights: &[Tensor], version: u64) -> Result<(), TrainError> {
    let tensors: Vec<_> = named(optimizer, weights).map(|(name, tensor)| (name, tensor.shallow_clone())).collect();
    // one entry: with several, their order in the file, and so its bytes, would be left to chance
    let metadata = HashMap::from([(COUNTS.to_owned(), format!("{} {version}", optimizer.updates))]);
    tensor_file::write(path, &tensors, metadata)
        .map_err(|error| TrainError::Checkpoint { path: path.to_owned(), reason: error.to_string() })
}

/// Fills `optimizer` and `weights`; returns the version of the policy, 0 if the file says none.
fn read_state(path: &Path, optimizer: &mut Optimizer, weights: &[Tensor]) -> Result<u64, TrainError> {
    let fault = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
    let TensorFile { mut tensors, metadata } = tensor_file::read(path).map_err(|error| match error {
        ReadError::Io(error) => fault(error.to_string()),
        ReadError::Damaged(reason) => fault(reason),
        ReadError::Format { tensor, dtype } => fault(format!("tensor `{tensor}` is stored as {dtype:?}, not f32")),
    })?;
    let counts = metadata.get(COUNTS).map_or("", String::as_str);
    let read = || Some((counts.split_once(' ')?.0.parse().ok()?, counts.split_once(' ')?.1.parse().ok()?));
    let (updates, version) = read().ok_or_else(|| fault(format!("`{COUNTS}` is `{counts}`, not two numbers")))?;
    let mut pairs = Vec::new();
    for (name, own) in named(optimizer, weights) {
        let stored = tensors.remove(&name).ok_or_else(|| fault(format!("there is no tensor `{name}`")))?;
        if stored.size() != own.size() || stored.kind() != Kind::Float {
            let (found, expected) = (stored.size(), own.size());
            return Err(fault(format!("tensor `{name}` is {:?} {found:?}, not f32 {expected:?}", stored.kind())));
        }
        pairs.push((own.detach(), stored));
    }
    if let Some(name) = tensors.keys().next() {
        return Err(fault(format!("tensor `{name}` belongs to nothing here")));
    }
    // Only a file that fits as a whole changes anything.
    for (mut own, stored) in pairs {
        own.copy_(&stored);
    }
    optimizer.updates = updates;
    Ok(version)
}
