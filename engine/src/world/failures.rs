//! Failures of systems, gathered so that a tick can return them: a system that fails must not take the process along, and
//! must not go unnoticed either.

use bevy_ecs::error::BevyError;
use bevy_ecs::prelude::*;

/// What a system could not do: a bug of the engine or of a trait behind it, never a fault of an episode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The system.
    pub system: &'static str,
    /// What it said.
    pub message: String,
}

/// Failures of the running tick.
#[derive(Resource, Default)]
pub(super) struct Failures(pub(super) Vec<Failure>);

/// The end of a system's pipe: keeps its error.
pub(super) fn keep(system: &'static str) -> impl FnMut(In<Result<(), BevyError>>, ResMut<'_, Failures>) {
    move |In(outcome), mut failures| {
        if let Err(error) = outcome {
            failures.0.push(Failure { system, message: error.to_string() });
        }
    }
}
