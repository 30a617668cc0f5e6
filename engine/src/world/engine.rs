//! The façade: open episodes, tick, take records. Nothing of the ECS shows.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bevy_ecs::prelude::*;
use bevy_ecs::schedule::{LogLevel, ScheduleBuildSettings, ScheduleLabel, SingleThreadedExecutor};
use crossbeam::channel::bounded;
use marft_topologies::Team;
use marft_topologies::turns::Plan;

use super::components::{Edge, HeardBy, HeardFrom, Node};
use super::failures::{Failure, Failures, keep};
use super::memory::Shelf;
use super::opening::Opening;
use super::resources::{
    Acted, Answered, Answers, Beside, Closed, Counters, Deadlines, Ended, Expired, ForTools, ForVoices, Judge, Library,
    Opened, Returned, Rules, Stirred, Toolbox, Voices,
};
use super::{act, away, begin, choose, collect, deliver, graph, score, step};
use crate::episode::{EpisodeRecord, FaultKind};
use crate::io::Io;
use crate::reward::Composite;
use crate::settings::LongContext;
use crate::tool::Tools;
use crate::voice::Voice;

/// Answers that may wait to be taken where nobody says otherwise.
const QUEUE: usize = 4096;

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
    /// What happens to conversations that outgrow the window of their voice.
    pub long_context: LongContext,
    /// Longest a turn may take from its first question to its last answer, and a step of an environment that blocks.
    pub patience: Option<Duration>,
    /// The tools that the team may call.
    pub tools: Tools,
    /// The threads for tools and for environments that block; made when first needed.
    pub io: Io,
}

impl EngineConfig {
    /// A world without retries, tools and deadlines, in which contexts that are too long are refused.
    pub fn new(team: Arc<Team>, voices: Vec<Arc<dyn Voice>>, reward: Composite) -> Self {
        Self {
            team,
            voices,
            reward,
            retries: 0,
            queue: QUEUE,
            long_context: LongContext::default(),
            patience: None,
            tools: Tools::default(),
            io: Io::default(),
        }
    }
}

/// How a tick left the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Episodes that are open.
    pub open: usize,
    /// Questions, calls and steps that are out.
    pub waiting: usize,
    /// Turns taken since the world began.
    pub turns: u64,
    /// Tokens sampled since the world began.
    pub tokens: u64,
}

/// How often something broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultCount {
    /// Mended: by asking again, or by starting a context anew.
    pub mended: u64,
    /// Not mended: each cost its episode.
    pub lost: u64,
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

/// In which order systems run that could run in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Order {
    #[default]
    Declared,
    #[cfg(test)]
    Reversed,
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
        Self::ordered(config, Order::default())
    }

    pub(super) fn ordered(config: EngineConfig, order: Order) -> Result<Self, EngineError> {
        let EngineConfig { team, voices, reward, retries, queue, long_context, patience, tools, io } = config;
        if voices.len() != team.policies().len() {
            return Err(EngineError::Voices { policies: team.policies().len(), voices: voices.len() });
        }
        let mut world = World::new();
        let graph = graph::spawn(&mut world, &team, &tools);
        let plan = Plan::new(team);
        let (sender, receiver) = bounded(queue.max(1));
        world.insert_resource(Library(Arc::new(Shelf::new(&plan))));
        world.insert_resource(Rules {
            plan,
            nodes: graph.nodes,
            edges: graph.edges,
            policies: graph.policies,
            long_context,
        });
        world.insert_resource(Voices { by_policy: voices, retries, patience });
        world.insert_resource(Answers { sender, receiver, woken_by: None });
        world.insert_resource(Judge(Arc::new(reward)));
        world.insert_resource(Toolbox(tools));
        world.insert_resource(Beside(io));
        world.init_resource::<Opened>();
        world.init_resource::<Stirred>();
        world.init_resource::<ForVoices>();
        world.init_resource::<ForTools>();
        world.init_resource::<Answered>();
        world.init_resource::<Returned>();
        world.init_resource::<Expired>();
        world.init_resource::<Deadlines>();
        world.init_resource::<Acted>();
        world.init_resource::<Ended>();
        world.init_resource::<Closed>();
        world.init_resource::<Counters>();
        world.init_resource::<Failures>();
        Ok(Self { world, tick: schedule(order) })
    }

    /// Opens an episode; it begins in one of the next ticks. An environment that breaks at once closes it with a fault; one
    /// that blocks is reset beside the engine's thread.
    pub fn open(&mut self, opening: Opening) {
        self.world.resource_mut::<Counters>().open += 1;
        let shelf = Arc::clone(&self.world.resource::<Library>().0);
        self.world.resource_mut::<Opened>().0.push_back((opening, shelf));
    }

    /// Runs the schedule once. Where nothing can go on before an answer comes, waits for one first, for at most `patience`.
    ///
    /// # Errors
    /// A system failed, or the world stands still with episodes open.
    pub fn tick(&mut self, patience: Duration) -> Result<Progress, EngineError> {
        let progress = self.progress();
        if self.is_idle() {
            if progress.waiting > 0 {
                let deadline = self.world.resource::<Deadlines>().0.peek().map(|Reverse((deadline, _))| *deadline);
                let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                let patience = left.map_or(patience, |left| left.min(patience));
                let answer = self.world.resource::<Answers>().receiver.recv_timeout(patience).ok();
                self.world.resource_mut::<Answers>().woken_by = answer;
            } else if progress.open > 0 {
                return Err(EngineError::Stalled { open: progress.open });
            }
        }
        self.tick.run(&mut self.world);
        let failures = std::mem::take(&mut self.world.resource_mut::<Failures>().0);
        if failures.is_empty() { Ok(self.progress()) } else { Err(EngineError::Systems(failures)) }
    }

    /// Whether nothing can go on before an answer comes.
    fn is_idle(&self) -> bool {
        let world = &self.world;
        world.resource::<Opened>().0.is_empty()
            && world.resource::<Stirred>().0.is_empty()
            && world.resource::<ForVoices>().0.is_empty()
            && world.resource::<ForTools>().0.is_empty()
            && world.resource::<Answered>().0.is_empty()
            && world.resource::<Returned>().0.is_empty()
            && world.resource::<Acted>().0.is_empty()
            && world.resource::<Ended>().0.is_empty()
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

    /// Takes the records of the episodes that closed, ordered by step, task and sample, and takes up what they leave to
    /// memories that outlive episodes, in the same order.
    pub fn take_closed(&mut self) -> Vec<EpisodeRecord> {
        let mut closed = std::mem::take(&mut self.world.resource_mut::<Closed>().0);
        let place = |record: &EpisodeRecord| (record.step, record.sample);
        closed.sort_by(|(a, _), (b, _)| {
            a.step.cmp(&b.step).then_with(|| a.task.cmp(&b.task)).then(place(a).cmp(&place(b)))
        });
        let plan = Arc::clone(&self.world.resource::<Rules>().plan);
        let mut library = self.world.resource_mut::<Library>();
        closed
            .into_iter()
            .map(|(record, leaves)| {
                if let Some(writes) = leaves {
                    Arc::make_mut(&mut library.0).take_up(writes, &plan);
                }
                record
            })
            .collect()
    }

    /// What outlives episodes, for a checkpoint.
    pub fn memories(&self) -> Shelf {
        Shelf::clone(&self.world.resource::<Library>().0)
    }

    /// Remembers what an earlier process left. What the team does not have is forgotten.
    pub fn restore_memories(&mut self, shelf: Shelf) {
        let plan = Arc::clone(&self.world.resource::<Rules>().plan);
        self.world.insert_resource(Library(Arc::new(shelf.of_team(&plan))));
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

    /// What broke in the episodes that closed so far, by kind.
    pub fn faults(&self) -> BTreeMap<FaultKind, FaultCount> {
        let counted = self.world.resource::<Counters>().faults.iter();
        counted.map(|(kind, (mended, lost))| (*kind, FaultCount { mended: *mended, lost: *lost })).collect()
    }

    /// How the world stands.
    pub fn progress(&self) -> Progress {
        let Counters { open, waiting, turns, tokens, .. } = *self.world.resource::<Counters>();
        Progress { open, waiting, turns, tokens }
    }
}

fn schedule(order: Order) -> Schedule {
    let mut tick = Schedule::new(Tick);
    tick.set_executor(SingleThreadedExecutor::new());
    tick.set_build_settings(ScheduleBuildSettings {
        ambiguity_detection: LogLevel::Error,
        ..ScheduleBuildSettings::default()
    });
    tick.configure_sets((Phase::Collect, Phase::Choose, Phase::Act, Phase::Deliver, Phase::Score).chain());
    let collect = (collect::collect, collect::expire);
    let act = (act::ask, act::call.pipe(keep("call")));
    let step = step::step.pipe(keep("step"));
    match order {
        Order::Declared => {
            tick.add_systems(collect.chain().in_set(Phase::Collect));
            tick.add_systems(act.chain().in_set(Phase::Act));
            tick.add_systems((deliver::deliver, away::resume, step).chain().in_set(Phase::Deliver));
        }
        #[cfg(test)]
        Order::Reversed => {
            tick.add_systems((collect.1, collect.0).chain().in_set(Phase::Collect));
            tick.add_systems((act.1, act.0).chain().in_set(Phase::Act));
            tick.add_systems((step, away::resume, deliver::deliver).chain().in_set(Phase::Deliver));
        }
    }
    let choose = (begin::begin.pipe(keep("begin")), choose::choose).chain().in_set(Phase::Choose);
    tick.add_systems((choose, score::score.pipe(keep("score")).in_set(Phase::Score)));
    tick
}
