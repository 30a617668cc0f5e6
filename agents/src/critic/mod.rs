//! Critics: values of states, read from hidden rows of a decoder by small heads.
//!
//! A critic is an entry of its own beside the policies. With an adapter it shapes its features (and its gradient goes through
//! the base); without one it reads the frozen base, whose features can be kept. Agents may share one head (a central critic)
//! or have one each.

mod config;
mod features;
mod head;

pub use config::{CriticConfig, CriticHead, CriticId, HeadStart};
pub use features::{FEATURE_BYTES, FeatureCache, FeatureKey};
pub use head::ValueHead;

use tch::Tensor;

use crate::lora::LoraAdapter;
use crate::model::{ModelConfig, Placement};
use crate::train::{Optimizer, TrainError};

/// A critic on a device.
#[derive(Debug)]
pub struct Critic {
    pub(crate) config: CriticConfig,
    pub(crate) adapter: Option<LoraAdapter>,
    pub(crate) heads: Vec<ValueHead>,
    pub(crate) optimizer: Optimizer,
}

impl Critic {
    /// A fresh critic; weights are a pure function of `seed`.
    pub fn new(
        config: &CriticConfig,
        model: &ModelConfig,
        placement: Placement,
        seed: u64,
    ) -> Result<Self, TrainError> {
        config.check()?;
        let adapter = match &config.lora {
            Some(lora) => Some(LoraAdapter::new(lora, model, placement, seed)?),
            None => None,
        };
        let heads: Vec<_> = (0..config.heads)
            .map(|head| {
                let seed = seed ^ (head as u64) << 32;
                ValueHead::new(model, &config.hidden, config.start, placement.device, seed)
            })
            .collect::<Result<_, _>>()?;
        let mut parameters: Vec<Tensor> = adapter.as_ref().map(LoraAdapter::parameters).unwrap_or_default();
        parameters.extend(heads.iter().flat_map(ValueHead::parameters));
        let optimizer = Optimizer::new(config.optimizer, parameters)?;
        Ok(Self { config: config.clone(), adapter, heads, optimizer })
    }

    /// The settings.
    pub fn config(&self) -> &CriticConfig {
        &self.config
    }

    /// Whether its features are those of the frozen base.
    pub fn is_frozen_base(&self) -> bool {
        self.adapter.is_none()
    }
}
