//! What there is once: the team, its voices, the completion channel, the reward, and what has closed.

use std::sync::Arc;

use bevy_ecs::prelude::*;
use crossbeam::channel::{Receiver, Sender};
use marft_topologies::Team;
use marft_topologies::turns::Plan;

use crate::episode::EpisodeRecord;
use crate::reward::Composite;
use crate::voice::{Answer, Voice};

/// The compiled team.
#[derive(Resource)]
pub(super) struct Rules {
    pub(super) plan: Arc<Plan>,
    /// Entities of the edges, by edge id.
    pub(super) edges: Vec<Entity>,
    /// Entities of the policies, by policy id.
    pub(super) policies: Vec<Entity>,
}

impl Rules {
    pub(super) fn team(&self) -> &Team {
        self.plan.team()
    }
}

/// The voices, by policy id of the team, and whether the policy is trained.
#[derive(Resource)]
pub(super) struct Voices {
    pub(super) voices: Vec<Arc<dyn Voice>>,
    /// How often a question is asked again after a transient fault.
    pub(super) retries: u32,
}

/// The one channel through which answers come back.
#[derive(Resource)]
pub(super) struct Answers {
    pub(super) sender: Sender<Answer>,
    pub(super) receiver: Receiver<Answer>,
    /// An answer that was waited for between two ticks.
    pub(super) woken_by: Option<Answer>,
}

/// How episodes are judged.
#[derive(Resource)]
pub(super) struct Judge(pub(super) Composite);

/// Records of episodes that closed since they were last taken.
#[derive(Resource, Default)]
pub(super) struct Closed(pub(super) Vec<EpisodeRecord>);

/// What has been going on, for [`Progress`](super::Progress).
#[derive(Resource, Default, Clone, Copy)]
pub(super) struct Counters {
    pub(super) open: usize,
    pub(super) waiting: usize,
    pub(super) turns: u64,
    pub(super) tokens: u64,
}
