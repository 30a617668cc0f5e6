//! The base model, the adapters on it, and the critic.

use marft_agents::lora::LoraConfig;
use serde::{Deserialize, Serialize};

/// The base model and where it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// An alias, a folder, a `.gguf` file or `random:…`.
    pub base: String,
    /// The compute type.
    pub dtype: Dtype,
    /// Where it runs.
    pub device: DeviceName,
    /// Keep linear weights a second time in the layout of the CPU's matrix kernels: faster generation, twice the memory.
    pub packed: bool,
    /// Threads of the CPU's kernels; all cores where absent.
    pub threads: Option<usize>,
    /// Memory of the key-value cache, in MiB.
    pub cache_mib: u64,
    /// The adapters.
    pub lora: LoraConfig,
    /// Which agents share weights.
    pub weights: Sharing,
    /// Labels of agents that do not learn.
    pub frozen: Vec<String>,
    /// The critic, for estimators that need one.
    pub critic: CriticSettings,
}

/// A compute type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32 bits.
    F32,
    /// 16 bits, the exponent of f32.
    Bf16,
}

/// A device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceName {
    /// The processor.
    Cpu,
    /// The CUDA device with this number.
    Cuda(usize),
}

/// Which agents share weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// As the team file says: agents of one policy share its adapter.
    #[default]
    Team,
    /// One adapter for all.
    Shared,
    /// An adapter of its own for every agent.
    PerAgent,
    /// No adapters: the base itself learns, for all agents.
    Full,
}

/// The critic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CriticSettings {
    /// Widths of the hidden layers of a head.
    pub hidden: Vec<usize>,
    /// A head for every agent instead of one for all.
    pub per_agent: bool,
    /// An adapter that shapes the features; without one the critic reads the frozen base.
    pub lora: Option<LoraConfig>,
}
