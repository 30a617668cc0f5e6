//! The front door of marft's Rust API: every crate of the engine under one name.

pub use marft_agents as agents;
pub use marft_algorithms as algorithms;
pub use marft_engine as engine;
pub use marft_topologies as topologies;
pub use marft_torch as torch;
