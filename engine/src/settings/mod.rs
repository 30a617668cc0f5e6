//! What a run is told, resolved: every value stated, nothing left to look up. It is written into the run's folder as it is
//! used, so that the run can be told again.
//!
//! A run file states what it wants to change; [`RunSettings`] says everything.

pub mod file;
mod kind;
mod kinds;
mod model;
mod registry;
mod serve;
mod stage;
mod tasks;
mod train;

use std::collections::BTreeMap;
use std::path::PathBuf;

use marft_algorithms::preset::Algorithm;
use serde::{Deserialize, Serialize};

use crate::learn::KlTarget;
use crate::reward::{Composite, RegistryError};
use crate::tool::Tools;

pub(crate) use kind::FILE;
pub use kind::{Kind, KindError};
pub use kinds::Kinds;
pub use model::{CriticSettings, DeviceName, Dtype, ModelSettings, Sharing};
pub use registry::Registry;
pub use serve::ServeSettings;
pub use stage::{ErrorRule, Rft, Rl, Sft, Stage};
pub use tasks::{EnvironmentSettings, RewardSettings, TaskSettings, TaskSource, ToolSettings};
pub use train::{
    Budget, CheckpointSettings, EarlyStop, EvalSettings, LogSettings, LongContext, RolloutSettings, TrainSettings,
};

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// Names the run and its folder.
    pub name: String,
    /// Root of every random number.
    pub seed: u64,
    /// Whether results must be the same bits whatever shares a batch: replay and bit-exact resumption need it.
    pub deterministic: bool,
    /// The team file, or `catalog:NAME`.
    pub team: String,
    /// Base model and where it runs.
    pub model: ModelSettings,
    /// Rows, their split, and the environment that shows them.
    pub task: TaskSettings,
    /// The reward's terms, in order.
    pub reward: Vec<RewardSettings>,
    /// What the team may call.
    #[serde(default)]
    pub tools: Vec<ToolSettings>,
    /// The algorithm of every agent that learns, by label.
    pub algorithm: BTreeMap<String, Algorithm>,
    /// Agents of which the team file says whether they get all of the team's reward or none of it.
    #[serde(default)]
    pub shares: BTreeMap<String, bool>,
    /// Where the coefficients of agents' divergences are steered to, by label; those of others stay.
    #[serde(default)]
    pub kl_target: BTreeMap<String, KlTarget>,
    /// What is trained and by how much.
    pub train: TrainSettings,
    /// How episodes are rolled out.
    pub rollout: RolloutSettings,
    /// What happens, in order.
    pub stages: Vec<Stage>,
    /// Evaluation on held-out tasks.
    pub eval: EvalSettings,
    /// When the run is saved.
    pub checkpoint: CheckpointSettings,
    /// Servers that get adapters after every checkpoint, by the name of the weights.
    #[serde(default)]
    pub serve: BTreeMap<String, ServeSettings>,
    /// What is written down.
    pub log: LogSettings,
}

impl RunSettings {
    /// Folder of the run where none is asked for.
    pub fn folder(&self) -> PathBuf {
        PathBuf::from("runs").join(&self.name)
    }

    /// The reward of the run.
    ///
    /// # Errors
    /// A kind that is not registered, settings that a term refuses, terms that do not go together: nothing of this happens
    /// with settings that were loaded with the same registry.
    pub fn composite(&self, registry: &Registry) -> Result<Composite, RegistryError> {
        registry.rewards.composite(&self.reward)
    }

    /// The tools of the run.
    ///
    /// # Errors
    /// A kind that is not registered, or settings that it refuses, in words.
    pub fn toolbox(&self, registry: &Registry) -> Result<Tools, String> {
        let mut tools = Tools::default();
        for ToolSettings { name, tool, limits } in &self.tools {
            let made =
                registry.tools.make(tool).ok_or_else(|| format!("tool `{name}`: there is no kind `{}`", tool.kind))?;
            let made = made.map_err(|error| format!("tool `{name}`: {error}"))?;
            tools.register(name, *limits, made);
        }
        Ok(tools)
    }
}
