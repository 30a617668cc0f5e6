//! What a run remembers beside its weights: all that the next step depends on.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{PoolState, TrainerError};
use crate::learn::LearnState;
use crate::metrics::Watch;
use crate::world::Shelf;

/// File name of the state in a checkpoint.
pub(super) const FILE: &str = "state.json";

/// The state of a run after a step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunState {
    /// Steps done, of all stages together.
    pub step: u64,
    /// Training episodes rolled out.
    pub episodes: u64,
    /// Tokens sampled in training.
    pub tokens: u64,
    /// How far the tasks have been drawn.
    pub pool: PoolState,
    /// What learning remembers.
    pub learn: LearnState,
    /// What the team remembers between episodes.
    pub memories: Shelf,
    /// Dropped updates in a row.
    pub bad_updates: u32,
    /// What has been seen of failures.
    pub watch: Watch,
    /// The untrained team's scores, by task.
    pub untrained: Option<BTreeMap<String, f64>>,
    /// The best evaluation: step and score.
    pub best: Option<(u64, f64)>,
    /// Evaluations since then.
    pub since_best: u32,
}

impl RunState {
    /// Writes it into a checkpoint.
    pub(super) fn write(&self, folder: &Path) -> Result<(), TrainerError> {
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::from)?;
        Ok(fs_err::write(folder.join(FILE), text)?)
    }

    /// Reads it from a checkpoint.
    pub(super) fn read(folder: &Path) -> Result<Self, TrainerError> {
        let path = folder.join(FILE);
        let text = fs_err::read(&path)?;
        serde_json::from_slice(&text).map_err(|error| TrainerError::State { path, reason: error.to_string() })
    }
}
