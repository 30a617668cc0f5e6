//! The world: every open episode, every turn under way, and the schedule that moves them.
//!
//! [`Engine`] hides the ECS. Episodes are opened, [`Engine::tick`] runs the schedule once, closed episodes are taken out as
//! records. The schedule is a chain of five sets:
//!
//! | set | does |
//! |---|---|
//! | Collect | takes answers from the one completion channel and puts them on their turns |
//! | Choose | asks the readiness rule of every episode in which something happened which turns may be taken |
//! | Act | renders what those agents see and asks their voices, all of them together |
//! | Deliver | hands answers to the readiness rule, writes them down, steps environments |
//! | Score | judges episodes that ended and takes them out of the world |
//!
//! No system waits. When nothing is ready and questions are out, [`Engine::tick`] blocks on the completion channel.

mod act;
mod choose;
mod collect;
mod components;
mod deliver;
mod draft;
mod engine;
mod failures;
mod graph;
mod resources;
mod score;

pub use components::Opening;
pub use engine::{Engine, EngineConfig, EngineError, Progress};
pub use failures::Failure;

#[cfg(test)]
mod tests;
