//! Low-rank adapters: what a policy owns beside the base it shares with every other policy.
//!
//! Masters are f32 whatever the base computes in; passes read copies in the compute type, made anew after every update. An
//! adapter starts with factor B at zero, so an untrained policy is its base, bit for bit.

mod adapter;
mod config;
mod error;
mod factors;
mod merge;
mod peft;
mod segments;
#[cfg(test)]
mod tests;

pub use adapter::LoraAdapter;
pub use config::{LoraConfig, Targets};
pub use error::LoraError;
pub use factors::SiteFactors;
pub use merge::merged;
pub use peft::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, load_adapter, load_config, save_adapter};
pub use segments::{Run, SegmentAdapters};
