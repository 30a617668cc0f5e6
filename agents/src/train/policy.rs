//! A policy: what is trained beside the shared base, how, and how often it has been.

use tch::{Kind, Tensor};

use super::error::TrainError;
use super::full::FullWeights;
use super::optimizer::{Optimizer, OptimizerConfig, UpdateReport};
use crate::lora::{LoraAdapter, LoraConfig};
use crate::model::Decoder;

/// What a policy is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicySpec {
    /// The base as it is: a reference, or a judge.
    Base,
    /// The base with an adapter of its own.
    Lora {
        /// The adapter.
        lora: LoraConfig,
        /// How it is trained; `None` freezes it.
        optimizer: Option<OptimizerConfig>,
        /// Seed of the adapter's first weights.
        seed: u64,
    },
    /// The base itself is trained, for every policy on the device. There can be one of these.
    Full {
        /// How it is trained.
        optimizer: OptimizerConfig,
    },
}

/// The weights a policy owns.
#[derive(Debug)]
pub(crate) enum Weights {
    Base,
    Lora(LoraAdapter),
    Full(FullWeights),
}

/// A policy on a device.
#[derive(Debug)]
pub struct Policy {
    pub(crate) weights: Weights,
    pub(crate) optimizer: Option<Optimizer>,
    pub(crate) version: u64,
}

impl Policy {
    pub(crate) fn new(spec: &PolicySpec, decoder: &mut Decoder) -> Result<Self, TrainError> {
        match spec {
            PolicySpec::Base => Ok(Self { weights: Weights::Base, optimizer: None, version: 0 }),
            PolicySpec::Lora { lora, optimizer, seed } => {
                let adapter = LoraAdapter::new(lora, decoder.config(), decoder.placement(), *seed)?;
                Self::with_adapter(adapter, *optimizer)
            }
            PolicySpec::Full { optimizer } => {
                optimizer.check()?;
                let leaves = decoder.train_all();
                // Masters: the leaves themselves where they are f32, wider copies where they are not.
                let masters = leaves.iter().map(|leaf| leaf.detach().to_kind(Kind::Float)).collect();
                let optimizer = Some(Optimizer::new(*optimizer, masters)?);
                Ok(Self { weights: Weights::Full(FullWeights::new(leaves)), optimizer, version: 0 })
            }
        }
    }

    pub(crate) fn with_adapter(adapter: LoraAdapter, optimizer: Option<OptimizerConfig>) -> Result<Self, TrainError> {
        let optimizer = optimizer.map(|config| Optimizer::new(config, adapter.parameters())).transpose()?;
        Ok(Self { weights: Weights::Lora(adapter), optimizer, version: 0 })
    }

    /// Its adapter, if it has one.
    pub fn adapter(&self) -> Option<&LoraAdapter> {
        match &self.weights {
            Weights::Lora(adapter) => Some(adapter),
            Weights::Base | Weights::Full(_) => None,
        }
    }

    /// Whether it trains the base itself.
    pub fn is_full(&self) -> bool {
        matches!(self.weights, Weights::Full(_))
    }

    /// How many updates it has seen.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Its optimiser, if it is trained.
    pub fn optimizer(&self) -> Option<&Optimizer> {
        self.optimizer.as_ref()
    }

    /// Bytes it takes beside the base: masters, the copies that passes read, and the optimiser's state.
    pub fn bytes(&self) -> u64 {
        let weights = match &self.weights {
            Weights::Base => 0,
            Weights::Lora(adapter) => adapter.bytes(),
            Weights::Full(full) => {
                full.leaves().iter().filter(|leaf| leaf.kind() != Kind::Float).map(|leaf| leaf.numel() as u64 * 4).sum()
            }
        };
        weights + self.optimizer.as_ref().map_or(0, Optimizer::bytes)
    }

    /// Makes what passes read anew, after the masters have changed.
    pub(crate) fn refresh(&mut self) {
        match (&mut self.weights, &self.optimizer) {
            (Weights::Lora(adapter), _) => adapter.refresh(),
            (Weights::Full(full), Some(optimizer)) => write_back(full.leaves(), &optimizer.parameters),
            (Weights::Base | Weights::Full(_), _) => {}
        }
    }

    /// Puts what a pass has left in the leaves to what was collected before.
    pub(super) fn gather(&mut self) -> Result<(), TrainError> {
        match &mut self.weights {
            Weights::Full(full) => full.gather(),
            Weights::Base | Weights::Lora(_) => Ok(()),
        }
    }

    /// Drops the gradients collected so far.
    pub(super) fn discard(&mut self) -> Result<(), TrainError> {
        match &mut self.weights {
            Weights::Base => Ok(()),
            Weights::Lora(adapter) => Ok(marft_torch::clear_gradients(&adapter.parameters())?),
            Weights::Full(full) => full.clear(),
        }
    }

    /// Applies the gradients collected so far and drops them.
    pub(crate) fn update(&mut self, name: &str) -> Result<UpdateReport, TrainError> {
        let Some(optimizer) = &mut self.optimizer else { return Err(TrainError::Frozen(name.to_owned())) };
        let mut report = match &mut self.weights {
            Weights::Base => return Err(TrainError::Frozen(name.to_owned())),
            Weights::Lora(_) => optimizer.step_leaves()?,
            Weights::Full(full) => update_full(optimizer, full)?,
        };
        self.refresh();
        self.version += u64::from(report.applied);
        report.version = self.version;
        Ok(report)
    }
}

/// Steps the masters by what the leaves have collected.
fn update_full(optimizer: &mut Optimizer, full: &mut FullWeights) -> Result<UpdateReport, TrainError> {
    let report = optimizer.step(&full.gradients())?;
    full.clear()?;
    Ok(report)
}

/// Copies masters into leaves that are not the masters themselves.
fn write_back(leaves: &[Tensor], masters: &[Tensor]) {
    for (leaf, master) in leaves.iter().zip(masters) {
        if leaf.kind() != Kind::Float {
            leaf.detach().copy_(master);
        }
    }
}
