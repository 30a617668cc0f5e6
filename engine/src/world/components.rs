//! What entities are made of: plain data and handles, never a tensor.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Instant;

use bevy_ecs::prelude::*;
use marft_agents::parse::ToolCall;
use marft_topologies::team::NodeId;
use marft_topologies::turns::{self, Turns};

use super::conversation::Conversation;
use super::draft::Draft;
use super::memory::Notes;
use super::opening::Fork;
use super::resources::Counters;
use crate::environment::Environment;
use crate::episode::FaultKind;
use crate::reward::{RewardFault, Tally};
use crate::seed::Seed;
use crate::task::Task;

/// An episode under way. Boxed, so that the tables of the world move a pointer.
#[derive(Component)]
pub(super) struct Episode(Box<Play>);

impl From<Play> for Episode {
    fn from(play: Play) -> Self {
        Self(Box::new(play))
    }
}

impl Deref for Episode {
    type Target = Play;

    fn deref(&self) -> &Play {
        &self.0
    }
}

impl DerefMut for Episode {
    fn deref_mut(&mut self) -> &mut Play {
        &mut self.0
    }
}

/// What an episode is.
pub(super) struct Play {
    pub(super) turns: Turns,
    pub(super) task: Arc<Task>,
    /// Gone while it steps on another thread.
    pub(super) environment: Option<Box<dyn Environment>>,
    pub(super) seed: Seed,
    pub(super) step: u64,
    pub(super) sample: u32,
    pub(super) temperature: Option<f64>,
    /// The record whose beginning it repeats.
    pub(super) fork: Option<Box<Fork>>,
    pub(super) draft: Draft,
    /// What its agents remember; absent where the team has no memories.
    pub(super) notes: Option<Box<Notes>>,
    /// Rewards the environment paid, per step.
    pub(super) paid: Vec<Vec<(String, f64)>>,
    pub(super) truncated: bool,
    /// How it was judged, where that took another thread.
    pub(super) tally: Option<Result<Tally, RewardFault>>,
    /// It is over and waits to be judged.
    pub(super) closing: bool,
    pub(super) started: Instant,
    /// The turns that are out, to find their entities when they are withdrawn.
    pub(super) out: Vec<(turns::TurnId, Entity)>,
}

impl Play {
    /// Takes a turn off the list of those that are out; `None` where it is not on it.
    pub(super) fn back(&mut self, turn: turns::TurnId) -> Option<Entity> {
        let at = self.out.iter().position(|(id, _)| *id == turn)?;
        Some(self.out.swap_remove(at).1)
    }
}

/// A turn of an episode that is out.
#[derive(Component)]
#[expect(clippy::struct_field_names, reason = "the turn of the readiness rule is what it stands for")]
pub(super) struct Turn {
    pub(super) turn: turns::Turn,
    pub(super) episode: Entity,
    /// Where it is written down; known when it is first asked.
    pub(super) place: Option<usize>,
    /// What is to be asked next, and what the answer is then for.
    pub(super) next: Next,
    /// Whether the prompt for it is made: a question that is asked again is the same question.
    pub(super) asked: bool,
    /// Whose words these are.
    pub(super) source: Source,
    /// What the agent was shown and said, once it was asked.
    pub(super) conversation: Option<Conversation>,
    /// Results of the calls it made since it spoke last, in their order; `None` for those that are still to come.
    pub(super) results: Vec<Option<String>>,
    /// Calls of tools that it made.
    pub(super) calls: u32,
    /// Questions that its voice answered.
    pub(super) answers: u32,
    /// Tokens sampled in it so far.
    pub(super) tokens: usize,
    /// How often its voice failed and was asked again.
    pub(super) failures: u32,
    /// When it was first kept waiting for an answer.
    pub(super) since: Option<Instant>,
    /// When it must be done.
    pub(super) deadline: Option<Instant>,
    /// What a fault of it is counted as.
    pub(super) broke: FaultKind,
}

impl Turn {
    pub(super) fn new(turn: turns::Turn, episode: Entity) -> Self {
        Self {
            turn,
            episode,
            place: None,
            next: Next::Observe,
            asked: false,
            source: Source::Live,
            conversation: None,
            results: vec![],
            calls: 0,
            answers: 0,
            tokens: 0,
            failures: 0,
            since: None,
            deadline: None,
            broke: FaultKind::Policy,
        }
    }
}

/// What a turn asks for next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    /// Words, to what the agent sees.
    Observe,
    /// Words, to the results of the tools it called.
    Results,
    /// A summary of its conversation, since `shown` no longer fits behind it.
    Summary { system: String, shown: String },
    /// Words, to the summary and what was to be shown.
    Resume { system: String, shown: String, summary: String },
    /// The results of these tools.
    Calls(VecDeque<ToolCall>),
}

/// Whose words a turn holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A voice's.
    Live,
    /// Those of this turn of the record that the episode branches off; they are written down already.
    Repeated { rank: usize, segment: Option<usize> },
    /// Put into the agent's mouth.
    Instead,
}

/// Asked; the answer will come. Removing it withdraws the question.
#[derive(Component)]
#[component(storage = "SparseSet", on_add = asked, on_remove = withdraw)]
pub(super) struct Waiting(pub(super) Option<Box<dyn FnOnce() + Send + Sync>>);

fn asked(mut world: bevy_ecs::world::DeferredWorld<'_>, _context: bevy_ecs::lifecycle::HookContext) {
    world.resource_mut::<Counters>().waiting += 1;
}

fn withdraw(mut world: bevy_ecs::world::DeferredWorld<'_>, context: bevy_ecs::lifecycle::HookContext) {
    let cancel = world.get_mut::<Waiting>(context.entity).and_then(|mut waiting| waiting.0.take());
    if let Some(cancel) = cancel {
        cancel();
    }
    world.resource_mut::<Counters>().waiting -= 1;
}

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
