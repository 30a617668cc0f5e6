//! The readiness rule: which turns may be taken now, given what has been said.
//!
//! [`Turns`] is one episode of a team as a state machine without a clock, a model or IO. An engine takes the turns that
//! are ready, asks the policies, and hands back what they said, in any order:
//!
//! ```text
//! let plan = Plan::new(team);                      // once per team
//! let mut turns = Turns::new(&plan, inputs);       // once per episode
//! while turns.ended().is_none() {
//!     for turn in turns.take_ready() {
//!         let shown = turns.observation(turn.id, &memories)?;
//!         turns.spoke(turn.id, policy.answer(shown))?;
//!     }
//! }
//! ```
//!
//! What is said where does not depend on the order of answers: a node acts when every message it is conditioned on has
//! been delivered or can no longer come, nodes that share state take turns in canonical order, functions ask in waves,
//! and budgets admit in waves. Every event costs the degree of the node that spoke.

mod advance;
mod budget;
mod close;
mod end;
mod frame;
mod function;
mod key;
mod library;
mod map;
mod message;
mod observe;
mod order;
mod parse;
mod plan;
mod route;
mod scope;
mod settle;
mod speak;
mod transcript;
mod turn;
mod uses;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

pub use budget::Scope;
pub use end::{EndReason, Event, Limit, Silence};
pub use frame::Task;
pub use key::Key;
pub use message::{Heard, LogProbs, Message, Said};
pub use observe::Memories;
pub use plan::Plan;
pub use turn::{Ask, Fault, NotOut, Observation, ObservationError, Turn, TurnId};
pub(crate) use uses::employees;

pub use crate::dependency::{Dependency, layers};

use crate::spec;
use crate::team::{NodeId, Team, VariableId};
use frame::{Frame, FrameId, Place};
use turn::{Status, TurnState};

/// Turns that an episode has room for from the start.
const ROOM: u64 = 8;

/// What an episode starts from.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The task.
    pub task: Task,
    /// Agents that have an observation of their own instead of the task.
    pub own: Vec<(NodeId, Task)>,
    /// Seed of what is drawn here: ties.
    pub seed: u64,
    /// Values of the state variables of scope `run`, from the episode before.
    pub state: Vec<(VariableId, Value)>,
}

impl From<Task> for Inputs {
    fn from(task: Task) -> Self {
        Self { task, ..Self::default() }
    }
}

/// One episode of a team.
#[derive(Debug, Clone)]
#[expect(clippy::struct_field_names, reason = "turns are what it mainly holds")]
pub struct Turns {
    plan: Arc<Plan>,
    seed: u64,
    step: u32,
    task: Arc<Task>,
    own: HashMap<NodeId, Task>,
    frames: Vec<Option<Frame>>,
    free: Vec<FrameId>,
    turns: Vec<TurnState>,
    messages: Vec<Arc<Message>>,
    ready: Vec<TurnId>,
    held: Vec<TurnId>,
    agenda: VecDeque<Duty>,
    state: Vec<Value>,
    /// Per agent and items around it: its last turn, and its last words.
    conversations: HashMap<(NodeId, Vec<u32>), (TurnId, Option<String>)>,
    total: budget::Spent,
    events: Vec<Event>,
    output: Option<Arc<Message>>,
    end: Option<EndReason>,
}

/// Work that an event set off, done before the call returns. A queue, so that no team is too deep for the stack.
#[derive(Debug, Clone)]
enum Duty {
    /// A member may act.
    Act(FrameId, u32),
    /// All members of a round have settled.
    EndRound(FrameId),
    /// An instance of a node is done.
    Finish(Place, Option<Arc<Message>>),
}

impl Turns {
    /// Starts an episode: the first turns are ready at once.
    pub fn new(plan: &Arc<Plan>, inputs: impl Into<Inputs>) -> Self {
        let Inputs { task, own, seed, state: given } = inputs.into();
        let initial = |variable: &crate::team::Variable| variable.init.clone().unwrap_or(Value::Null);
        let mut state: Vec<_> = plan.team.variables().iter().map(initial).collect();
        for (variable, value) in given {
            state[variable.index()] = value;
        }
        let task = Arc::new(task);
        // many episodes are open at once: small teams get no more room than they fill
        let calls = plan.team.worst_case().calls.clamp(1, ROOM) as usize;
        let mut turns = Self {
            plan: Arc::clone(plan),
            seed,
            step: 0,
            task: Arc::clone(&task),
            own: own.into_iter().collect(),
            frames: Vec::with_capacity(plan.team.blocks().len().min(calls)),
            free: Vec::new(),
            turns: Vec::with_capacity(calls),
            messages: Vec::with_capacity(calls),
            ready: Vec::new(),
            held: Vec::new(),
            agenda: VecDeque::new(),
            state,
            conversations: HashMap::new(),
            total: budget::Spent::default(),
            events: Vec::new(),
            output: None,
            end: None,
        };
        turns.begin();
        turns
    }

    /// Starts the team's next run in the same episode, for an environment with several steps: the task is what it shows
    /// now, `own` what single agents see instead. State, conversations and budgets of the episode go on.
    ///
    /// Does nothing when the last step has not ended.
    pub fn next_step(&mut self, task: Task, own: Vec<(NodeId, Task)>) {
        if self.end.is_none() {
            return;
        }
        self.step += 1;
        self.end = None;
        self.output = None;
        self.task = Arc::new(task);
        self.own = own.into_iter().collect();
        self.begin();
    }

    fn begin(&mut self) {
        let task = Arc::clone(&self.task);
        self.open_frame(Team::ROOT, None, vec![self.step], task, Arc::default());
        self.run();
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Takes every turn that is ready, in canonical order. Each is given once, and is out until it is answered.
    pub fn take_ready(&mut self) -> Vec<Turn> {
        let mut ready = std::mem::take(&mut self.ready);
        ready.retain(|turn| self.turns[turn.0 as usize].status == Status::Ready);
        if ready.len() > 1 {
            ready.sort_by(|left, right| {
                self.turns[left.0 as usize].turn.key.cmp(&self.turns[right.0 as usize].turn.key)
            });
        }
        ready
            .into_iter()
            .map(|turn| {
                let state = &mut self.turns[turn.0 as usize];
                state.status = Status::Out;
                state.turn.clone()
            })
            .collect()
    }

    /// Why the episode ended; `None` while it goes on.
    pub fn ended(&self) -> Option<&EndReason> {
        self.end.as_ref()
    }

    /// The team's output; `None` while the episode goes on, and when nothing was put out.
    pub fn output(&self) -> Option<&Arc<Message>> {
        self.output.as_ref()
    }

    /// The value of a state variable.
    pub fn variable(&self, variable: VariableId) -> &Value {
        &self.state[variable.index()]
    }

    /// The variables that live as long as the run, to start the next episode from.
    pub fn run_state(&self) -> Vec<(VariableId, Value)> {
        let variables = self.plan.team.variables().iter().enumerate();
        variables
            .filter(|(_, variable)| variable.scope == spec::Scope::Run)
            .map(|(id, _)| (VariableId::from(id), self.state[id].clone()))
            .collect()
    }

    /// One turn, by its handle.
    pub fn turn(&self, turn: TurnId) -> &Turn {
        &self.turns[turn.0 as usize].turn
    }

    /// What a turn heard, in declared order.
    pub fn heard(&self, turn: TurnId) -> &[Heard] {
        &self.turns[turn.0 as usize].heard
    }

    /// Takes what happened beside the turns since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Stops the episode. Turns that are out are withdrawn.
    pub fn cancel(&mut self) {
        if self.end.is_none() {
            self.end(EndReason::Cancelled);
        }
    }

    fn frame(&self, frame: FrameId) -> &Frame {
        self.frames[frame.index()].as_ref().expect("a frame is dropped only when nothing refers to it any more")
    }

    fn frame_mut(&mut self, frame: FrameId) -> &mut Frame {
        self.frames[frame.index()].as_mut().expect("a frame is dropped only when nothing refers to it any more")
    }
}
