//! A fresh optimiser on weights that stay: what a new stage of a run begins with.

use tch::Kind;

use super::commands::CommandError;
use super::error::TrainError;
use super::optimizer::{Optimizer, OptimizerConfig};
use super::policy::Weights;
use super::table::PolicyTable;
use crate::device::{Alone, DeviceHandle};
use crate::generate::PolicyId;

impl PolicyTable {
    /// Gives a policy an optimiser without history. Its weights and its version stay as they are.
    pub fn restart_optimizer(&mut self, id: PolicyId, config: OptimizerConfig) -> Result<(), TrainError> {
        let policy = self.policy_mut(id)?;
        let parameters = match &policy.weights {
            Weights::Base => return Err(TrainError::Frozen(id.to_string())),
            Weights::Lora(adapter) => adapter.parameters(),
            Weights::Full(full) => match policy.optimizer.take() {
                // wider masters know more than the leaves do
                Some(optimizer) => optimizer.parameters,
                None => full.leaves().iter().map(|leaf| leaf.detach().to_kind(Kind::Float)).collect(),
            },
        };
        policy.optimizer = Some(Optimizer::new(config, parameters)?);
        Ok(())
    }
}

impl DeviceHandle<PolicyTable> {
    /// Gives a policy an optimiser without history.
    pub fn restart_optimizer(&self, id: PolicyId, config: OptimizerConfig) -> Result<(), CommandError> {
        Ok(self.call(Alone::No, move |device| device.policies.restart_optimizer(id, config))??)
    }
}
