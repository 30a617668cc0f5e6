//! `marft-engine`: the world in which a team of agents acts and learns.
//!
//! Holds the ECS world, episodes and turns, environments, rewards, the trainer with its checkpoints, and what is measured
//! of all that. It is the only crate that knows `bevy_ecs`; it never touches a tensor of a model: those belong to the
//! device threads of `marft-agents`, and what crosses the channel is plain data.

pub mod checkpoint;
pub mod environment;
pub mod episode;
pub mod evaluate;
pub mod io;
pub mod learn;
pub mod metrics;
pub mod reward;
pub mod sandbox;
pub mod seed;
pub mod settings;
pub mod task;
pub mod tool;
pub mod trainer;
pub mod voice;
pub mod world;
