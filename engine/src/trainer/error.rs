//! Why a run cannot begin or go on.

use std::path::PathBuf;

use marft_agents::device::DeviceError;
use marft_agents::model::ModelError;
use marft_agents::pretrained::PretrainedError;
use marft_agents::train::commands::CommandError;
use marft_agents::train::{MemoryError, TrainError};

use crate::checkpoint::CheckpointError;
use crate::episode::ArchiveError;
use crate::learn::LearnError;
use crate::task::{MixtureError, ReadError, SplitError};
use crate::world::EngineError;

/// Why a run cannot begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainerError {
    /// The base model cannot be had.
    #[error(transparent)]
    Pretrained(#[from] PretrainedError),
    /// The base model cannot be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The device refuses.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A policy or critic cannot be set up.
    #[error(transparent)]
    Policy(#[from] TrainError),
    /// A command to the device failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The run does not fit into memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Rows cannot be read.
    #[error(transparent)]
    Rows(#[from] ReadError),
    /// Rows cannot be split.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// Sources cannot be mixed.
    #[error(transparent)]
    Mixture(#[from] MixtureError),
    /// The world stands still or a system failed.
    #[error(transparent)]
    World(#[from] EngineError),
    /// A batch taught nothing.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// The run cannot be saved or found.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Episodes cannot be read back.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The disk refuses; the message names the file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// What is asked for does not fit the team or the data.
    #[error("{0}")]
    Setting(String),
    /// A saved state cannot be read.
    #[error("{path} is damaged: {reason}")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The folder has a run in it already.
    #[error("{0} holds a run already; continue it with --resume, or choose another folder with --out")]
    Occupied(PathBuf),
    /// Another process is at work on the folder.
    #[error("{0} is in use by another process")]
    Locked(PathBuf),
    /// The run that is to be resumed was told otherwise.
    #[error("the run in {folder} was started with other settings: {}", differences.join(", "))]
    OtherSettings {
        /// The folder.
        folder: PathBuf,
        /// Paths of the settings that differ, with both values.
        differences: Vec<String>,
    },
    /// The run that is to be resumed has done more steps than it is now told to.
    #[error(
        "the run in {folder} is at step {step}, and the settings end it after step {planned}; hint: plan at least {step} steps \
         with `train.steps` or the `steps` of its stages, or begin again in another folder with --out"
    )]
    Further {
        /// The folder.
        folder: PathBuf,
        /// Steps done.
        step: u64,
        /// Steps of all stages now.
        planned: u64,
    },
    /// Numbers that are not finite, again and again.
    #[error(
        "{updates} updates in a row were dropped because a loss or a gradient was not finite; hint: lower the learning rate \
         or max_grad_norm, or use dtype = \"f32\", and begin again"
    )]
    Diverged {
        /// How many.
        updates: u32,
    },
    /// A policy's weights are such that it says nothing any more.
    #[error(
        "no episode of step {step} came to its end, for the weights have exploded: {fault}; hint: lower the learning rate, \
         and begin again"
    )]
    Exploded {
        /// The step.
        step: u64,
        /// What the first policy that could not speak says of it.
        fault: String,
    },
    /// Not a single episode of a step could be used.
    #[error("all {episodes} episodes of step {step} broke; the first fault: {fault}")]
    AllFaults {
        /// The step.
        step: u64,
        /// How many episodes.
        episodes: usize,
        /// What happened in the first.
        fault: String,
    },
}
