//! What follows when an instance of a node is done: state, memories, guards on its edges, and who may act next.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::frame::{FrameId, Kept, Phase, Place, Round};
use super::function::{Program, Work};
use super::message::Spoken;
use super::turn::Brief;
use super::{Duty, EndReason, Event, Message, Silence, Turns};
use crate::team::{Keep, MemoryId, NodeId};

impl Turns {
    /// One instance of a node is done.
    pub(super) fn finish(&mut self, place: Place, message: Option<Arc<Message>>) {
        let Some(frame) = self.frames[place.frame.index()].as_mut() else { return };
        let slot = &mut frame.slots[place.slot as usize];
        if slot.phase != Phase::Acting {
            return;
        }
        let messages = match (&mut slot.items, place.item) {
            (Some(items), Some(item)) => {
                items.end(item, message);
                if !items.is_done() {
                    return self.start_items(place.frame, place.slot);
                }
                items.messages()
            }
            _ => message.into_iter().collect(),
        };
        slot.items = None;
        self.settle(Place { item: None, ..place }, messages);
    }

    /// A member has said all it says in this round: its writes take effect, then its guards are judged.
    pub(super) fn settle(&mut self, place: Place, messages: Vec<Arc<Message>>) {
        let plan = Arc::clone(&self.plan);
        let block = self.frame(place.frame).block;
        let node = plan.blocks[block.index()].order[place.slot as usize];
        self.assign(place, node, &messages);
        let mut spoken = Vec::with_capacity(messages.len());
        for message in messages {
            let closed = self.closed_edges(place, node, &message);
            spoken.push(Spoken { message, closed });
        }
        let due = self.write_memories(place, node, &spoken);
        self.frame_mut(place.frame).slots[place.slot as usize].settling = Some(spoken);
        if due.is_empty() {
            self.settled(place);
        } else {
            self.start_program(place, node, Program::new(Work::Curate(due)));
        }
    }

    /// `sets`: state variables by expressions over the node's own output, item by item.
    fn assign(&mut self, place: Place, node: NodeId, messages: &[Arc<Message>]) {
        let plan = Arc::clone(&self.plan);
        for message in messages {
            for (variable, expression) in &plan.team.node(node).sets {
                let given = Map::from_iter([("output".to_owned(), self.open_record(message))]);
                let scope = self.scope_of(place, node, expression, given);
                match expression.eval(&scope) {
                    Ok(value) => self.state[variable.index()] = value,
                    Err(error) => {
                        let message = format!("`{}`: {error}", expression.source());
                        self.events.push(Event::Unevaluated { node, edge: None, message });
                    }
                }
            }
        }
    }

    /// The out-edges that their guards close for this message.
    fn closed_edges(&mut self, place: Place, node: NodeId, message: &Arc<Message>) -> Box<[crate::team::EdgeId]> {
        let plan = Arc::clone(&self.plan);
        let mut closed = Vec::new();
        for edge in plan.team.outgoing(node) {
            let Some(when) = &plan.team.edge(*edge).when else { continue };
            let (from, to) = (plan.team.node(node), plan.team.node(plan.team.edge(*edge).to));
            let record = self.open_record(message);
            let given = [
                ("message".to_owned(), record.clone()),
                (from.label.clone(), record),
                ("from".to_owned(), Value::from(from.name.as_str())),
                ("to".to_owned(), Value::from(to.name.as_str())),
            ];
            let scope = self.scope_of(place, node, when.expression(), Map::from_iter(given));
            let open = when.holds(&scope).unwrap_or_else(|error| {
                let message = format!("`{}`: {error}", when.source());
                self.events.push(Event::Unevaluated { node, edge: Some(*edge), message });
                false
            });
            if !open {
                closed.push(*edge);
            }
        }
        closed.into()
    }

    /// Announces what goes into memories; gives the questions for curators that are due.
    fn write_memories(&mut self, place: Place, node: NodeId, spoken: &[Spoken]) -> Vec<(MemoryId, Brief)> {
        let plan = Arc::clone(&self.plan);
        let Some(agent) = plan.team.node(node).agent() else { return Vec::new() };
        let mut due = Vec::new();
        for message in spoken.iter().map(|spoken| &spoken.message) {
            for (at, memory) in agent.writes.iter().enumerate() {
                let text = message.text_for(&plan.team, node).to_string();
                let (by, key) = (node, message.key.clone());
                self.events.push(Event::Wrote { memory: *memory, by, key, text: text.clone() });
                let known = &plan.team.memories()[memory.index()];
                let Some(curator) = known.curator else { continue };
                let writes = &mut self.frame_mut(place.frame).slots[place.slot as usize].writes;
                writes.resize(agent.writes.len(), 0);
                writes[at] += 1;
                if writes[at].is_multiple_of(known.every.max(1)) {
                    let names = Map::from_iter([("record".to_owned(), Value::from(text.as_str()))]);
                    let text = format!("New record:\n{text}\n\nAnswer ADD, UPDATE, DELETE or NOOP.");
                    due.push((*memory, Brief { node: Some(curator), text, names }));
                }
            }
        }
        due
    }

    /// A member is settled: those that wait for it wait for one less.
    pub(super) fn settled(&mut self, place: Place) {
        let plan = Arc::clone(&self.plan);
        let frame = self.frame_mut(place.frame);
        let (round, block) = (frame.round, frame.block);
        let slot = &mut frame.slots[place.slot as usize];
        let messages = slot.settling.take().unwrap_or_default();
        slot.phase = Phase::Settled;
        if !messages.is_empty() {
            match slot.said.last_mut() {
                // A block's escaped messages were put there when its run ended.
                Some(last) if last.round == round => last.messages = messages,
                _ => slot.said.push(Round { round, messages, escaped: Vec::new() }),
            }
        }
        frame.open -= 1;
        let order = &plan.blocks[block.index()];
        if order.router == Some(place.slot) {
            self.route(place);
            if self.end.is_some() {
                return;
            }
        }
        for follower in order.followers.of(place.slot as usize) {
            let waiting = &mut self.frame_mut(place.frame).slots[*follower as usize];
            waiting.waiting -= 1;
            if waiting.waiting == 0 {
                self.agenda.push_back(Duty::Act(place.frame, *follower));
            }
        }
        for watcher in order.watchers.of(place.slot as usize) {
            self.agenda.push_back(Duty::Act(place.frame, *watcher));
        }
        if self.frame(place.frame).open == 0 {
            self.agenda.push_back(Duty::EndRound(place.frame));
        }
    }

    /// A member stays silent this round.
    pub(super) fn silence(&mut self, place: Place, why: Silence) {
        let block = self.frame(place.frame).block;
        let node = self.plan.blocks[block.index()].order[place.slot as usize];
        self.note_silence(node, place, why);
        let slot = &mut self.frame_mut(place.frame).slots[place.slot as usize];
        slot.settling = Some(Vec::new());
        self.settled(Place { item: None, ..place });
    }

    pub(super) fn note_silence(&mut self, node: NodeId, place: Place, why: Silence) {
        let round = self.frame(place.frame).round;
        self.events.push(Event::Skipped { node, round, why });
    }

    /// All members have settled: keeps the output, then another round or the end.
    pub(super) fn end_round(&mut self, id: FrameId) {
        let plan = Arc::clone(&self.plan);
        let frame = self.frame(id);
        let block = plan.team.block(frame.block);
        let round = frame.round;
        let kept = self.round_output(id);
        let score = match &block.rounds.keep {
            Keep::Last => None,
            Keep::Best { node, field } => {
                let end = Place { frame: id, slot: u32::MAX, item: None };
                let judged = self.said_last(end, *node, false).pop();
                judged.filter(|judged| judged.message.round == round).and_then(|judged| judged.message.number(field))
            }
        };
        let frame = self.frame_mut(id);
        let better = match (&block.rounds.keep, score, frame.best) {
            (Keep::Last, ..) | (Keep::Best { .. }, Some(_), None) => true,
            (Keep::Best { .. }, Some(score), Some(best)) => score > best,
            // Without a score it stands only as long as nothing was scored.
            (Keep::Best { .. }, None, best) => best.is_none(),
        };
        if better && !(kept.outputs.is_empty() && kept.escaped.is_empty()) {
            frame.kept = kept;
            frame.best = score.or(frame.best);
        }
        if let Some(reason) = frame.ending.take() {
            return self.close(id, reason);
        }
        if let Some(until) = &block.rounds.until {
            let end = Place { frame: id, slot: u32::MAX, item: None };
            let viewer = block.node.or_else(|| block.members.first().copied());
            if viewer.is_some_and(|viewer| self.until(end, viewer, until)) {
                return self.close(id, EndReason::Until);
            }
        }
        if round + 1 >= block.rounds.max {
            let routed = plan.blocks[self.frame(id).block.index()].router.is_some();
            return self.close(id, if routed { EndReason::MaxSteps } else { EndReason::Rounds });
        }
        self.frame_mut(id).round += 1;
        self.start_round(id);
    }

    fn until(&mut self, end: Place, viewer: NodeId, until: &crate::expr::Guard) -> bool {
        let mut given = Map::new();
        let outputs = &self.frame(end.frame).kept.outputs;
        let output = outputs.last().map_or(Value::Null, |message| self.open_record(message));
        given.insert("output".into(), output);
        self.holds(end, viewer, until, given)
    }

    /// What the block puts out if it ends now, and what its inner nodes say to the outside.
    pub(super) fn round_output(&self, id: FrameId) -> Kept {
        let plan = &self.plan;
        let block = plan.team.block(self.frame(id).block);
        let end = Place { frame: id, slot: u32::MAX, item: None };
        let last = |node: &NodeId| self.said_last(end, *node, false).into_iter();
        Kept {
            outputs: block.output.iter().flat_map(last).map(|spoken| Arc::clone(&spoken.message)).collect(),
            escaped: plan.blocks[self.frame(id).block.index()].escapes.iter().flat_map(last).cloned().collect(),
        }
    }
}
