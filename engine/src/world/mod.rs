//! The world: every open episode, every turn under way, and the schedule that moves them.
//!
//! [`Engine`] hides the ECS. Episodes are opened, [`Engine::tick`] runs the schedule once, closed episodes are taken out as
//! records. The schedule is a chain of five sets:
//!
//! | set | does |
//! |---|---|
//! | Collect | takes answers from the one completion channel, and notes what took too long |
//! | Choose | asks the readiness rule of every episode in which something happened which turns may be taken |
//! | Act | renders what those agents see and asks their voices, all of them together; calls tools |
//! | Deliver | hands answers to the readiness rule, writes them down, steps environments |
//! | Score | judges episodes that ended and takes them out of the world |
//!
//! No system waits. When nothing is ready and questions are out, [`Engine::tick`] blocks on the completion channel. Voices,
//! tools and environments that wait on something do so on other threads; what came of it returns through that channel.

mod act;
mod away;
mod begin;
pub mod bench;
mod choose;
mod collect;
mod components;
mod conversation;
pub mod counterfactual;
mod deliver;
mod draft;
mod engine;
mod failures;
mod graph;
mod memory;
mod opening;
mod prompt;
mod repeat;
mod resources;
mod score;
mod speak;
mod step;

pub use engine::{Engine, EngineConfig, EngineError, FaultCount, Progress};
pub use failures::Failure;
pub use memory::{Note, Notebook, Shelf};
pub use opening::{Fork, Instead, Opening};

#[cfg(test)]
mod tests;
