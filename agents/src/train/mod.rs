//! Scoring and training on a device: sequences of all policies in one pass, an optimiser per policy.
//!
//! Whoever holds a [`DeviceHandle`](crate::device::DeviceHandle) calls the methods in [`commands`]; they run on the device
//! thread, on its [`PolicyTable`]. The very tensors that generation reads are updated: there is no weight sync.

mod available;
pub mod bench;
mod checkpoint;
pub mod commands;
mod error;
mod forward;
mod full;
mod memory_fit;
mod memory_plan;
mod optimizer;
mod pack;
mod packed_attend;
mod policy;
mod restart;
mod schedule;
mod sequence;
mod table;
#[cfg(test)]
mod tests;
mod thicket;
mod values;

pub use available::available_memory;
pub use checkpoint::OPTIMIZER_STATE;
pub use error::TrainError;
pub use memory_fit::MemoryError;
pub use memory_plan::{MemoryPlan, PlanRequest};
pub use optimizer::{Optimizer, OptimizerConfig, UpdateReport};
pub use policy::{Policy, PolicySpec};
pub use schedule::{Decay, Schedule};
pub use sequence::{TrainSequence, micro_batches};
pub use table::{LossFn, PassOptions, PassReport, PolicyTable, SequenceScores, TrainOutputs};
