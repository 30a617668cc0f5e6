//! The façade: open episodes, tick, take records. Nothing of the ECS shows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bevy_ecs::prelude::*;
use bevy_ecs::schedule::{LogLevel, ScheduleBuildSettings, ScheduleLabel, SingleThreadedExecutor};
use crossbeam::channel::bounded;
use marft_topologies::Team;
use marft_topologies::team::NodeId;
use marft_topologies::turns::{Inputs, Plan, Task as Shown, Turns};

use super::components::{Edge, Ended, Episode, HeardBy, HeardFrom, Node, Opening, Ready, Stirred};
use super::failures::{Failure, Failures, keep};
use super::resources::{Answers, Closed, Counters, Judge, Rules, Voices};
use super::{act, choose, collect, deliver, draft::Draft, graph, score};
use crate::episode::{EpisodeRecord, FaultRecord};
use crate::reward::Composite;
use crate::voice::Voice;

/// What a world is made of.
#[derive(Debug)]
pub struct EngineConfig {
    /// The team.
    pub team: Arc<Team>,
    /// Who answers, by policy id of the team.
    pub voices: Vec<Arc<dyn Voice>>,
    /// How episodes are judged.
    pub reward: Composite,
    /// How often a question is asked again after a transient fault.
    pub retries: u32,
    /// Most answers that may wait to be taken; a voice that has more to say waits.
    pub queue: usize,
}

/// How a tick left the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Episodes that are open.
    pub open: usize,
    /// Questions that are out.
    pub waiting: usize,
    /// Turns taken since the world began.
    pub turns: u64,
    /// Tokens sampled since the world began.
    pub tokens: u64,
}

/// Why the world cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// There are more or fewer voices than policies.
    #[error("the team has {policies} policies and {voices} voices were given: every policy needs one")]
    Voices {
        /// Policies of the team.
        policies: usize,
        /// Voices given.
        voices: usize,
    },
    /// A system failed: a bug.
    #[error("the engine failed in `{}`: {} (and {} more)", .0[0].system, .0[0].message, .0.len() - 1)]
    Systems(Vec<Failure>),
    /// Episodes are open, nobody is asked and nothing is ready.
    #[error("{open} episodes are open, but no turn is ready and no question is out")]
    Stalled {
        /// Open episodes.
        open: usize,
    },
}

#[derive(ScheduleLabel, Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Tick;

#[derive(SystemSet, Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Collect,
    Choose,
    Act,
    Deliver,
    Score,
}

/// A world of episodes.
pub struct Engine {
    world: World,
    tick: Schedule,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

impl Engine {
    /// A world without episodes.
    ///
    /// # Errors
    /// A policy without a voice.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let EngineConfig { team, voices, reward, retries, queue } = config;
        if voices.len() != team.policies().len() {
            return Err(EngineError::Voices { policies: team.policies().len(), voices: voices.len() });
        }
        let mut world = World::new();
        let graph = graph::spawn(&mut world, &team);
        let (sender, receiver) = bounded(queue.max(1));
        world.insert_resource(Rules { plan: Plan::new(team), edges: graph.edges, policies: graph.policies });
        world.insert_resource(Voices { voices, retries });
        world.insert_resource(Answers { sender, receiver, woken_by: None });
        world.insert_resource(Judge(reward));
        world.init_resource::<Closed>();
        world.init_resource::<Counters>();
        world.init_resource::<Failures>();

        let mut tick = Schedule::new(Tick);
        tick.set_executor(SingleThreadedExecutor::new());
        tick.set_build_settings(ScheduleBuildSettings {
            ambiguity_detection: LogLevel::Error,
            ..ScheduleBuildSettings::default()
        });
        tick.configure_sets((Phase::Collect, Phase::Choose, Phase::Act, Phase::Deliver, Phase::Score).chain());
        tick.add_systems((
            collect::collect.in_set(Phase::Collect),
            choose::choose.in_set(Phase::Choose),
            act::act.pipe(keep("act")).in_set(Phase::Act),
            deliver::deliver.in_set(Phase::Deliver),
            score::score.in_set(Phase::Score),
        ));
        Ok(Self { world, tick })
    }

    /// Opens an episode. An environment that breaks at once closes it with a fault.
    pub fn open(&mut self, opening: Opening) {
        let Opening { task, mut environment, seed, step, sample, temperature } = opening;
        let plan = Arc::clone(&self.world.resource::<Rules>().plan);
        let mut draft = Draft::default();
        let scene = environment.reset(&task, seed.child("environment", 0));
        let (inputs, broken) = match scene {
            Ok(scene) => {
                let own = own_observations(plan.team(), scene.own);
                (Inputs { task: scene.shared, own, seed: seed.draw(0), state: vec![] }, false)
            }
            Err(fault) => {
                let message = fault.to_string();
                draft.faults.push(FaultRecord {
                    kind: "environment".to_owned(),
                    turn: None,
                    message,
                    recovered: false,
                });
                (Inputs::default(), true)
            }
        };
        let mut turns = Turns::new(&plan, inputs);
        if broken {
            turns.cancel();
        }
        let episode = Episode {
            turns,
            task,
            environment,
            seed,
            step,
            sample,
            temperature,
            draft,
            paid: vec![],
            truncated: false,
            started: Instant::now(),
            out: std::collections::BTreeMap::new(),
        };
        let ended = episode.turns.ended().is_some();
        let mut entity = self.world.spawn((episode, Stirred));
        if ended {
            entity.insert(Ended);
        }
        self.world.resource_mut::<Counters>().open += 1;
    }

    /// Runs the schedule once. Where nothing can go on before an answer comes, waits for one first, for at most `patience`.
    ///
    /// # Errors
    /// A system failed, or the world stands still with episodes open.
    pub fn tick(&mut self, patience: Duration) -> Result<Progress, EngineError> {
        let idle = {
            let mut moving = self.world.query_filtered::<(), Or<(With<Stirred>, With<Ended>, With<Ready>)>>();
            moving.iter(&self.world).next().is_none()
        };
        let progress = self.progress();
        if idle && progress.waiting > 0 {
            let answer = self.world.resource::<Answers>().receiver.recv_timeout(patience).ok();
            self.world.resource_mut::<Answers>().woken_by = answer;
        } else if idle && progress.open > 0 {
            return Err(EngineError::Stalled { open: progress.open });
        }
        self.tick.run(&mut self.world);
        let failures = std::mem::take(&mut self.world.resource_mut::<Failures>().0);
        if failures.is_empty() { Ok(self.progress()) } else { Err(EngineError::Systems(failures)) }
    }

    /// Ticks until no episode is open.
    ///
    /// # Errors
    /// As [`tick`](Self::tick).
    pub fn run(&mut self) -> Result<Progress, EngineError> {
        loop {
            let progress = self.tick(Duration::from_millis(200))?;
            if progress.open == 0 {
                return Ok(progress);
            }
        }
    }

    /// Takes the records of the episodes that closed, ordered by step, task and sample.
    pub fn take_closed(&mut self) -> Vec<EpisodeRecord> {
        let mut records = std::mem::take(&mut self.world.resource_mut::<Closed>().0);
        records.sort_by(|a, b| (a.step, &a.task, a.sample).cmp(&(b.step, &b.task, b.sample)));
        records
    }

    /// D as the world has used it so far: who heard whom, by full name, and how often; edges that never delivered left out.
    pub fn dependencies(&mut self) -> Vec<(String, String, u64)> {
        let mut edges = self.world.query::<(&Edge, &HeardFrom, &HeardBy)>();
        let mut nodes = self.world.query::<&Node>();
        let team = Arc::clone(self.world.resource::<Rules>().plan.team());
        let mut used: Vec<_> = edges
            .iter(&self.world)
            .filter(|(edge, ..)| edge.delivered > 0)
            .filter_map(|(edge, from, to)| {
                let (from, to) = (nodes.get(&self.world, from.0).ok()?.0, nodes.get(&self.world, to.0).ok()?.0);
                Some((team.node(from).name.clone(), team.node(to).name.clone(), edge.delivered))
            })
            .collect();
        used.sort();
        used
    }

    /// How the world stands.
    pub fn progress(&self) -> Progress {
        let Counters { open, waiting, turns, tokens } = *self.world.resource::<Counters>();
        Progress { open, waiting, turns, tokens }
    }
}

/// Observations by label, for all agents that bear it.
pub(super) fn own_observations(team: &Team, own: Vec<(String, Shown)>) -> Vec<(NodeId, Shown)> {
    let mut observations = vec![];
    for (label, shown) in own {
        let bearers = team.agents().filter(|(id, _)| team.node(*id).label == label);
        observations.extend(bearers.map(|(id, _)| (id, shown.clone())));
    }
    observations
}
