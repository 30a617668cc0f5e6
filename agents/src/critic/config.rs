//! The settings of a critic.

use serde::{Deserialize, Serialize};

use crate::lora::LoraConfig;
use crate::train::{OptimizerConfig, TrainError};

/// Names one critic on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CriticId(pub u32);

/// One head of one critic: agents with heads of their own name different ones, a central critic has a single one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CriticHead {
    /// The critic.
    pub critic: CriticId,
    /// Which of its heads.
    pub head: usize,
}

/// What a fresh head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadStart {
    /// 0 everywhere: its last layer is 0.
    #[default]
    Zero,
    /// What random layers say, all of them drawn as torch draws those of a linear layer.
    Random,
}

/// The settings of a critic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CriticConfig {
    /// Widths of the hidden layers of a head; none makes it one linear layer.
    pub hidden: Vec<usize>,
    /// Number of heads.
    pub heads: usize,
    /// What a fresh head says.
    pub start: HeadStart,
    /// The adapter that shapes the features; without one they are those of the frozen base.
    pub lora: Option<LoraConfig>,
    /// How it is trained.
    pub optimizer: OptimizerConfig,
}

impl Default for CriticConfig {
    /// One head of hidden widths 1024 and 512 on the frozen base, at learning rate 1e-5: the critic of MARFT's published code.
    fn default() -> Self {
        let optimizer = OptimizerConfig { lr: 1e-5, ..OptimizerConfig::default() };
        Self { hidden: vec![1024, 512], heads: 1, start: HeadStart::Zero, lora: None, optimizer }
    }
}

impl CriticConfig {
    /// Checks ranges.
    pub fn check(&self) -> Result<(), TrainError> {
        let fault = |key, reason: &str| Err(TrainError::Setting { key, reason: reason.to_owned() });
        if self.heads == 0 {
            return fault("critic.heads", "a critic needs a head");
        }
        if self.hidden.iter().any(|&width| width == 0 || width > 1 << 16) {
            return fault("critic.hidden", "a width is not between 1 and 65536");
        }
        self.optimizer.check()
    }
}
