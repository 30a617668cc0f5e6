//! What entities are made of: plain data and handles, never a tensor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bevy_ecs::prelude::*;
use marft_topologies::team::NodeId;
use marft_topologies::turns::{self, Turns};

use super::draft::Draft;
use crate::environment::Environment;
use crate::seed::Seed;
use crate::task::Task;
use crate::voice::Answer;

/// What an episode starts from.
#[derive(Debug)]
pub struct Opening {
    /// The task.
    pub task: Arc<Task>,
    /// The world the team acts upon.
    pub environment: Box<dyn Environment>,
    /// Where its random numbers come from.
    pub seed: Seed,
    /// The training step it belongs to.
    pub step: u64,
    /// Which sample of its group it is.
    pub sample: u32,
    /// Samples at this temperature instead of the agents' own; 0 is greedy.
    pub temperature: Option<f64>,
}

/// An episode under way.
#[derive(Component)]
pub(super) struct Episode {
    pub(super) turns: Turns,
    pub(super) task: Arc<Task>,
    pub(super) environment: Box<dyn Environment>,
    pub(super) seed: Seed,
    pub(super) step: u64,
    pub(super) sample: u32,
    pub(super) temperature: Option<f64>,
    pub(super) draft: Draft,
    /// Rewards the environment paid, per step.
    pub(super) paid: Vec<Vec<(String, f64)>>,
    pub(super) truncated: bool,
    pub(super) started: Instant,
    /// Handles of the turns that are out, to find their entities when they are withdrawn.
    pub(super) out: BTreeMap<turns::TurnId, Entity>,
}

/// Something happened in the episode: its readiness rule must be asked again.
#[derive(Component)]
#[component(storage = "SparseSet")]
pub(super) struct Stirred;

/// The episode came to its end.
#[derive(Component)]
#[component(storage = "SparseSet")]
pub(super) struct Ended;

/// A turn of an episode.
#[derive(Component)]
pub(super) struct Turn {
    pub(super) turn: turns::Turn,
    /// How often its voice failed and was asked again.
    pub(super) failures: u32,
}

/// The episode a turn belongs to; turns go with it.
#[derive(Component)]
#[relationship(relationship_target = Speaking)]
pub(super) struct SpeaksIn(pub(super) Entity);

/// The turns of an episode that are out.
#[derive(Component)]
#[relationship_target(relationship = SpeaksIn, linked_spawn)]
pub(super) struct Speaking(Vec<Entity>);

/// May be taken now.
#[derive(Component)]
#[component(storage = "SparseSet")]
pub(super) struct Ready;

/// Asked; the answer will come. Removing it withdraws the question.
#[derive(Component)]
#[component(storage = "SparseSet", on_remove = withdraw)]
pub(super) struct Waiting(pub(super) Option<Box<dyn FnOnce() + Send + Sync>>);

fn withdraw(mut world: bevy_ecs::world::DeferredWorld<'_>, context: bevy_ecs::lifecycle::HookContext) {
    let cancel = world.get_mut::<Waiting>(context.entity).and_then(|mut waiting| waiting.0.take());
    if let Some(cancel) = cancel {
        cancel();
    }
}

/// Answered.
#[derive(Component)]
#[component(storage = "SparseSet")]
pub(super) struct Answered(pub(super) Answer);

/// A policy of the team.
#[derive(Component)]
pub(super) struct Policy {
    /// Turns it has taken.
    pub(super) turns: u64,
}

/// A node of the team: an agent, a function, or a block seen from outside.
#[derive(Component)]
#[component(immutable)]
pub(super) struct Node(pub(super) NodeId);

/// The policy an agent speaks with; agents of one policy share its weights.
#[derive(Component)]
#[relationship(relationship_target = Serves)]
pub(super) struct Uses(pub(super) Entity);

/// The agents that speak with a policy.
#[derive(Component)]
#[relationship_target(relationship = Uses)]
pub(super) struct Serves(Vec<Entity>);

/// An edge of D: how often it delivered.
#[derive(Component)]
pub(super) struct Edge {
    pub(super) delivered: u64,
}

/// Who speaks along an edge.
#[derive(Component)]
#[relationship(relationship_target = OutEdges)]
pub(super) struct HeardFrom(pub(super) Entity);

/// The edges out of a node.
#[derive(Component)]
#[relationship_target(relationship = HeardFrom, linked_spawn)]
pub(super) struct OutEdges(Vec<Entity>);

/// Who hears along an edge.
#[derive(Component)]
#[relationship(relationship_target = InEdges)]
pub(super) struct HeardBy(pub(super) Entity);

/// The edges into a node.
#[derive(Component)]
#[relationship_target(relationship = HeardBy, linked_spawn)]
pub(super) struct InEdges(Vec<Entity>);
