//! Asking agents, and taking what they say.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::frame::Place;
use super::map::check_plan;
use super::message::{Said, written};
use super::parse;
use super::turn::{Ask, Brief, Fault, NotOut, Status, TurnState};
use super::{Duty, EndReason, Event, Key, Message, Silence, Turn, TurnId, Turns};
use crate::spec::{Context, ParseErrorWord};
use crate::team::{Agent, NodeId, NodeKind, Op, Sampling};

/// What a turn is asked with, beside its place and agent.
struct Question {
    call: u32,
    attempt: u32,
    brief: Option<Arc<Brief>>,
    continues: Option<TurnId>,
    complaint: Option<String>,
}

impl Turns {
    /// A turn of `agent` for the node at `place`; `call` counts the questions of a program.
    pub(super) fn ask(&mut self, place: Place, agent: NodeId, call: u32, brief: Option<Arc<Brief>>) {
        let continues = match self.plan.team.node(agent).agent().map(|agent| agent.context) {
            Some(Context::Grow) if brief.is_none() => {
                self.conversations.get(&self.conversation(place, agent)).map(|last| last.0)
            }
            _ => None,
        };
        self.put(place, agent, Question { call, attempt: 0, brief, continues, complaint: None });
    }

    fn put(&mut self, place: Place, agent: NodeId, question: Question) {
        let Question { call, attempt, brief, continues, complaint } = question;
        let id = TurnId(self.turns.len() as u32);
        let plan = Arc::clone(&self.plan);
        let frame = self.frame(place.frame);
        let of = plan.blocks[frame.block.index()].order[place.slot as usize];
        let heard = frame.slots[place.slot as usize].heard.clone().unwrap_or_default();
        let round = frame.round;
        let node = plan.team.node(agent);
        let ask = match &node.kind {
            NodeKind::Agent(settings) => Ask::Words {
                sampling: self.sampling(place, of, settings),
                max_tool_calls: if settings.tools.is_empty() { 0 } else { settings.max_tool_calls },
                context: settings.context,
            },
            NodeKind::Function(function) => match &function.op {
                Op::Tool { tool, .. } => Ask::Tool { tool: tool.clone() },
                _ => Ask::Tool { tool: String::new() },
            },
            NodeKind::Block(_) => Ask::Tool { tool: String::new() },
        };
        let turn = Turn {
            id,
            key: Key::new(&self.prefix(place), &[call, attempt]),
            node: agent,
            of,
            step: self.step,
            round,
            replica: node.replica.map_or(0, |replica| replica.index),
            item: place.item,
            attempt,
            ask,
        };
        let gates = if plan.budgeted { self.gates(place.frame, place.slot) } else { Vec::new() };
        let status = if gates.is_empty() { Status::Ready } else { Status::Held };
        let reserved = super::budget::Spent::default();
        self.turns.push(TurnState { turn, place, status, heard, brief, continues, complaint, gates, reserved });
        if status == Status::Held { &mut self.held } else { &mut self.ready }.push(id);
    }

    /// An agent's sampling, with what a spawning item sets instead.
    fn sampling(&self, place: Place, of: NodeId, agent: &Agent) -> Sampling {
        let mut sampling = agent.sampling.clone();
        let map = self.plan.team.node(of).map.as_ref().filter(|map| map.spawn);
        let Some(item) = map.and_then(|map| self.known(place, of, &map.item)) else { return sampling };
        let number = |name: &str| item.get(name).and_then(Value::as_f64).filter(|number| number.is_finite());
        // A spawned agent is written by an agent: what is out of range is brought back into it.
        sampling.temperature = number("temperature").map_or(sampling.temperature, |given| given.clamp(0.0, 10.0));
        sampling.top_p = number("top_p").map_or(sampling.top_p, |given| given.clamp(1e-6, 1.0));
        let most = f64::from(sampling.max_tokens);
        sampling.max_tokens = number("max_tokens").map_or(most, |given| given.clamp(1.0, most)) as u32;
        sampling
    }

    /// Takes what was said in a turn.
    pub fn spoke(&mut self, id: TurnId, said: Said) -> Result<(), NotOut> {
        self.check_out(id)?;
        self.turns[id.0 as usize].status = Status::Done;
        self.settle_cost(id, Some(&said));
        let plan = Arc::clone(&self.plan);
        let (place, agent) = (self.turns[id.0 as usize].place, self.turns[id.0 as usize].turn.node);
        match &plan.team.node(agent).kind {
            NodeKind::Agent(settings) => self.take(id, place, agent, settings, &said),
            NodeKind::Function(_) | NodeKind::Block(_) => {
                // The result of a tool: words of the function itself.
                let message = Message { turn: Some(id), ..self.message(place, agent, said.text.into()) };
                self.answered(id, place, Some(Arc::new(message)));
            }
        }
        self.run();
        Ok(())
    }

    fn take(&mut self, id: TurnId, place: Place, agent: NodeId, settings: &Agent, said: &Said) {
        let plan = Arc::clone(&self.plan);
        let schema = plan.nodes[agent.index()].schema.as_deref();
        let mut reading = parse::read(&settings.output, schema, &said.text);
        if reading.unread.is_none() {
            reading.unread = self.plan_error(agent, &reading.fields, &said.text);
        }
        let turn = self.turns[id.0 as usize].turn.clone();
        let text: Arc<str> = said.text.as_str().into();
        let message = Message {
            node: agent,
            round: turn.round,
            item: place.item,
            key: turn.key,
            turn: Some(id),
            public: reading.public.map_or_else(|| Arc::clone(&text), Into::into),
            text,
            fields: reading.fields,
            value: None,
            heard: Arc::clone(&self.turns[id.0 as usize].heard),
            unread: reading.unread.clone(),
            tokens: said.tokens,
            logprobs: said.logprobs,
            hidden: reading.hidden,
        };
        let message = self.record(message);
        if settings.context != Context::Fresh {
            let words = (settings.context == Context::Replace).then(|| message.text.to_string());
            let conversation = self.conversation(place, agent);
            self.conversations.insert(conversation, (id, words));
        }
        let Some(complaint) = reading.unread else { return self.answered(id, place, Some(message)) };
        let (rule, state) = (settings.output.on_parse_error, &self.turns[id.0 as usize]);
        if turn.attempt < rule.retries {
            let call = *state.turn.key.path().iter().rev().nth(1).unwrap_or(&0);
            let question = Question {
                call,
                attempt: turn.attempt + 1,
                brief: state.brief.clone(),
                continues: Some(id),
                complaint: Some(complaint),
            };
            return self.put(place, agent, question);
        }
        match rule.then {
            ParseErrorWord::Keep => self.answered(id, place, Some(message)),
            ParseErrorWord::Skip => {
                self.note_silence(agent, place, Silence::Unread);
                self.answered(id, place, None);
            }
            ParseErrorWord::Fail => {
                let agent = self.plan.team.node(agent).name.clone();
                self.end(EndReason::ParseFailure { agent, message: complaint });
            }
        }
    }

    /// What is wrong with the DAG that an agent planned, for the agent to read.
    fn plan_error(&self, agent: NodeId, fields: &Map<String, Value>, text: &str) -> Option<String> {
        self.plan.nodes[agent.index()].plans.iter().find_map(|(field, max, max_depth)| {
            let items = match field {
                Some(field) => fields.get(field).cloned()?,
                None => serde_json::from_str(text).ok()?,
            };
            let Value::Array(items) = items else { return Some("the plan is not a list".to_owned()) };
            check_plan(&items, *max, *max_depth).err()
        })
    }

    /// The turn broke. The episode ends with a fault, which no reward is given for.
    pub fn failed(&mut self, id: TurnId, fault: &Fault) -> Result<(), NotOut> {
        self.check_out(id)?;
        self.turns[id.0 as usize].status = Status::Done;
        self.settle_cost(id, None);
        let agent = self.plan.team.node(self.turns[id.0 as usize].turn.node).name.clone();
        self.end(EndReason::Fault { agent, message: fault.0.clone() });
        Ok(())
    }

    fn check_out(&self, id: TurnId) -> Result<(), NotOut> {
        let out = self.turns.get(id.0 as usize).is_some_and(|state| state.status == Status::Out);
        if out { Ok(()) } else { Err(NotOut(id)) }
    }

    /// An answer goes to the program that asked, or is the instance's own message.
    fn answered(&mut self, id: TurnId, place: Place, message: Option<Arc<Message>>) {
        let (of, call) = {
            let turn = &self.turns[id.0 as usize].turn;
            (turn.of, turn.key.path().iter().rev().nth(1).copied().unwrap_or(0))
        };
        let slot = &mut self.frame_mut(place.frame).slots[place.slot as usize];
        let Some((_, program)) = slot.programs.iter_mut().find(|(item, _)| *item == place.item) else {
            self.agenda.push_back(Duty::Finish(place, message));
            return;
        };
        let curated = program.memory(call).zip(message.as_ref()).map(|(memory, message)| Event::Curated {
            memory,
            text: message.public.to_string(),
            fields: message.fields.clone(),
        });
        let complete = program.answer(call, message);
        self.events.extend(curated);
        if complete {
            self.advance_program(place, of);
        }
    }

    /// Keeps a message in the transcript.
    pub(super) fn record(&mut self, message: Message) -> Arc<Message> {
        let message = Arc::new(message);
        self.messages.push(Arc::clone(&message));
        message
    }

    /// A message of a function or block.
    pub(super) fn message(&self, place: Place, node: NodeId, text: Arc<str>) -> Message {
        let round = self.frame(place.frame).round;
        let key = Key::new(&self.prefix(place), &[u32::MAX]);
        Message { round, item: place.item, key, ..Message::bare(node, text) }
    }

    /// Key of an instance: that of its frame, then round, position and item.
    pub(super) fn prefix(&self, place: Place) -> Vec<u32> {
        let frame = self.frame(place.frame);
        let mut prefix = Vec::with_capacity(frame.prefix.len() + 5);
        prefix.extend_from_slice(&frame.prefix);
        prefix.extend([frame.round, place.slot, place.item.unwrap_or(0)]);
        prefix
    }

    /// Which conversation of an agent a place belongs to: one per item of the maps around it.
    pub(super) fn conversation(&self, place: Place, agent: NodeId) -> (NodeId, Vec<u32>) {
        let mut items = Vec::new();
        let mut at = Some(place);
        while let Some(place) = at {
            items.extend(place.item);
            at = self.frame(place.frame).parent;
        }
        (agent, items)
    }
}

impl Message {
    /// A message with nothing but words.
    pub(super) fn bare(node: NodeId, text: Arc<str>) -> Self {
        Self {
            node,
            round: 0,
            item: None,
            key: Key::default(),
            turn: None,
            public: Arc::clone(&text),
            text,
            fields: Map::new(),
            value: None,
            heard: Arc::default(),
            unread: None,
            tokens: 0,
            logprobs: None,
            hidden: Vec::new(),
        }
    }

    /// The numeric value that `keep = "best"` compares.
    pub(super) fn number(&self, field: &str) -> Option<f64> {
        let value = self.fields.get(field).or_else(|| self.value.as_ref().filter(|_| field == "value"))?;
        value.as_f64().or_else(|| written(value).trim().parse().ok()).filter(|number| number.is_finite())
    }

    #[cfg(test)]
    pub(super) fn plain(node: NodeId, text: &str) -> Self {
        Self::bare(node, text.into())
    }
}
