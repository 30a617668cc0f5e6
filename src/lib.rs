#![doc = include_str!("../README.md")]

pub use marft_agents as agents;
pub use marft_algorithms as algorithms;
pub use marft_engine as engine;
pub use marft_topologies as topologies;
pub use marft_torch as torch;
