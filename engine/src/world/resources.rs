//! What there is once: the team, its voices and tools, the completion channel, the queues between systems, the reward,
//! and what has closed.
//!
//! What happened is told from system to system through queues rather than markers: a marker that comes and goes with every
//! turn moves its entity between archetypes each time, which costs more than everything else a turn does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bevy_ecs::prelude::*;
use crossbeam::channel::{Receiver, Sender};
use marft_topologies::Team;
use marft_topologies::team::NodeId;
use marft_topologies::turns::Plan;

use super::graph::NodeRule;
use super::memory::{Shelf, Writes};
use super::opening::Opening;
use crate::episode::{EpisodeRecord, FaultKind};
use crate::io::Io;
use crate::reward::Composite;
use crate::settings::LongContext;
use crate::tool::Tools;
use crate::voice::{Answer, Voice};

/// The compiled team.
#[derive(Resource)]
pub(super) struct Rules {
    pub(super) plan: Arc<Plan>,
    /// What the world needs to know of each node, by node id.
    pub(super) nodes: Vec<NodeRule>,
    /// Entities of the edges, by edge id.
    pub(super) edges: Vec<Entity>,
    /// Entities of the policies, by policy id.
    pub(super) policies: Vec<Entity>,
    /// What happens to contexts that are too long.
    pub(super) long_context: LongContext,
}

impl Rules {
    pub(super) fn team(&self) -> &Team {
        self.plan.team()
    }

    pub(super) fn node(&self, id: NodeId) -> &NodeRule {
        &self.nodes[id.index()]
    }
}

/// Who answers.
#[derive(Resource)]
pub(super) struct Voices {
    /// By policy id of the team.
    pub(super) by_policy: Vec<Arc<dyn Voice>>,
    /// How often a question is asked again after a transient fault.
    pub(super) retries: u32,
    /// Longest a turn, or a step of an environment, may take.
    pub(super) patience: Option<Duration>,
}

/// The tools, by name.
#[derive(Resource)]
pub(super) struct Toolbox(pub(super) Tools);

/// The threads beside the engine's.
#[derive(Resource)]
pub(super) struct Beside(pub(super) Io);

/// The one channel through which answers come back.
#[derive(Resource)]
pub(super) struct Answers {
    pub(super) sender: Sender<Answer>,
    pub(super) receiver: Receiver<Answer>,
    /// An answer that was waited for between two ticks.
    pub(super) woken_by: Option<Answer>,
}

/// Openings whose episodes have not begun, the first opened first, each with what outlives episodes as it was then. An
/// episode begins when the schedule has a place for it, so that all it touches is still in the processor's caches when it goes
/// on.
#[derive(Resource, Default)]
pub(super) struct Opened(pub(super) VecDeque<(Opening, Arc<Shelf>)>);

/// Episodes in which something happened: their readiness rule must be asked again. The last one is the first to be asked,
/// so that an episode goes on while it is still in the processor's caches.
#[derive(Resource, Default)]
pub(super) struct Stirred(pub(super) Vec<Entity>);

/// Turns that ask for words.
#[derive(Resource, Default)]
pub(super) struct ForVoices(pub(super) Vec<Entity>);

/// Turns that ask for the result of a tool.
#[derive(Resource, Default)]
pub(super) struct ForTools(pub(super) Vec<Entity>);

/// Answers of voices and tools.
#[derive(Resource, Default)]
pub(super) struct Answered(pub(super) Vec<Answer>);

/// Environments that are back from another thread.
#[derive(Resource, Default)]
pub(super) struct Returned(pub(super) Vec<Entity>);

/// Turns and steps that took too long.
#[derive(Resource, Default)]
pub(super) struct Expired(pub(super) Vec<Entity>);

/// When turns and steps must be done, the soonest first.
#[derive(Resource, Default)]
pub(super) struct Deadlines(pub(super) BinaryHeap<Reverse<(Instant, Entity)>>);

/// Episodes whose team has acted upon its environment.
#[derive(Resource, Default)]
pub(super) struct Acted(pub(super) Vec<Entity>);

/// Episodes that came to their end.
#[derive(Resource, Default)]
pub(super) struct Ended(pub(super) Vec<Entity>);

/// How episodes are judged.
#[derive(Resource)]
pub(super) struct Judge(pub(super) Arc<Composite>);

/// What outlives episodes: the records of run-scoped memories and variables. Episodes see it as it was when they opened.
#[derive(Resource)]
pub(super) struct Library(pub(super) Arc<Shelf>);

/// Episodes that closed since they were last taken, with what they leave to later ones.
#[derive(Resource, Default)]
pub(super) struct Closed(pub(super) Vec<(EpisodeRecord, Option<Writes>)>);

/// What has been going on, for [`Progress`](super::Progress).
#[derive(Resource, Default, Clone)]
pub(super) struct Counters {
    pub(super) open: usize,
    pub(super) waiting: usize,
    pub(super) turns: u64,
    pub(super) tokens: u64,
    /// Faults by kind: mended, and not.
    pub(super) faults: BTreeMap<FaultKind, (u64, u64)>,
}
