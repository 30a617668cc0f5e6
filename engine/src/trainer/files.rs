//! Which files a checkpoint of a run has: one that lacks any of them is not gone on from.

use marft_agents::lora::{ADAPTER_CONFIG, ADAPTER_WEIGHTS};
use marft_agents::train::OPTIMIZER_STATE;

use super::{Trainer, state};
use crate::settings::Sharing;

/// A critic and what its optimiser remembers.
const CRITIC: &str = "critic.safetensors";

impl Trainer {
    /// The files that every checkpoint of this run has, relative to its folder, for
    /// [`Checkpoints::needing`](crate::checkpoint::Checkpoints::needing). References are not among them: they are there from
    /// their stage on.
    pub fn checkpoint_files(&self) -> Vec<String> {
        // with full weights the optimiser's file holds the weights too
        let of_policy: &[&str] = match self.settings.model.weights {
            Sharing::Full => &[OPTIMIZER_STATE],
            _ => &[ADAPTER_CONFIG, ADAPTER_WEIGHTS, OPTIMIZER_STATE],
        };
        let learning = self.roster.weights().iter().filter(|weights| weights.optimizer.is_some());
        let policies = learning.flat_map(|own| of_policy.iter().map(|file| format!("{}/{file}", own.name)));
        let critics = self.roster.cohorts().iter().filter_map(|cohort| cohort.critic);
        let critics = critics.map(|(id, _)| format!("critics/{}/{CRITIC}", id.0));
        [state::FILE.to_owned()].into_iter().chain(policies).chain(critics).collect()
    }
}
