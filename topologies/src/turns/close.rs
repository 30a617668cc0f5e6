//! Ends: of a run of a block, of a node cut short, and of the episode.

use std::sync::Arc;

use serde_json::Value;

use super::frame::{FrameId, Phase, Place, Round};
use super::message::Spoken;
use super::turn::Status;
use super::{Duty, EndReason, Event, Message, Silence, TurnId, Turns};
use crate::team::Outcome;

impl Turns {
    /// A run of a block ends; what it kept is its output.
    pub(super) fn close(&mut self, id: FrameId, reason: EndReason) {
        let Some(frame) = self.frames[id.index()].take() else { return };
        let outputs = frame.kept.outputs;
        let Some(place) = frame.parent else {
            self.output = self.joined(None, &outputs);
            self.end = Some(reason);
            self.free.push(id);
            return;
        };
        self.events.push(Event::BlockEnded { block: frame.block, rounds: frame.round + 1, reason });
        self.free.push(id);
        self.escape(place, frame.kept.escaped);
        let message = self.joined(Some(place), &outputs);
        self.agenda.push_back(Duty::Finish(place, message));
    }

    /// What inner nodes said is heard outside as of this round.
    fn escape(&mut self, place: Place, escaped: Vec<Spoken>) {
        if escaped.is_empty() {
            return;
        }
        let frame = self.frame_mut(place.frame);
        let round = frame.round;
        let said = &mut frame.slots[place.slot as usize].said;
        match said.last_mut() {
            Some(last) if last.round == round => last.escaped.extend(escaped),
            _ => said.push(Round { round, messages: Vec::new(), escaped }),
        }
    }

    /// The output messages of a block as one: a single one as it is, several one after another.
    fn joined(&mut self, place: Option<Place>, outputs: &[Arc<Message>]) -> Option<Arc<Message>> {
        let (first, place) = match (outputs, place) {
            ([], _) => return None,
            ([only], None) => return Some(Arc::clone(only)),
            ([first, ..], place) => (first, place),
        };
        let team = Arc::clone(&self.plan.team);
        let texts: Vec<_> = outputs.iter().map(|message| message.text_for(&team, message.node)).collect();
        let mut message = match place {
            Some(place) => {
                let block = self.frame(place.frame).block;
                let node = self.plan.blocks[block.index()].order[place.slot as usize];
                self.message(place, node, texts.join("\n\n").into())
            }
            None => Message { key: first.key.clone(), ..Message::bare(first.node, texts.join("\n\n").into()) },
        };
        if let [only] = outputs {
            message.fields.clone_from(&only.fields);
            message.value.clone_from(&only.value);
            message.logprobs = only.logprobs;
        } else {
            message.value = Some(Value::Array(texts.iter().map(|text| Value::from(&**text)).collect()));
        }
        // The team's own output is no further thing that was said.
        Some(if place.is_some() { self.record(message) } else { Arc::new(message) })
    }

    /// A block's budget ran out: it ends with the declared outcome.
    pub(super) fn cut_block(&mut self, id: FrameId, reason: EndReason, outcome: &Outcome) {
        self.withdraw(id, None);
        let last = match outcome {
            // The last complete round's output; without one, what was said so far.
            Outcome::Last => {
                if self.frame(id).kept.outputs.is_empty() {
                    self.round_output(id)
                } else {
                    self.frame(id).kept.clone()
                }
            }
            Outcome::Fail | Outcome::Skip => super::frame::Kept::default(),
            Outcome::Fallback(text) => {
                let frame = self.frame(id);
                let node = self.plan.team.block(frame.block).output.first().copied();
                let node = node.or_else(|| self.plan.blocks[frame.block.index()].order.last().copied());
                let Some(node) = node else { return self.close(id, reason) };
                let place = Place { frame: id, slot: self.plan.slot(node) as u32, item: None };
                let message = self.record(self.message(place, node, text.as_str().into()));
                super::frame::Kept { outputs: vec![message], escaped: Vec::new() }
            }
        };
        self.frame_mut(id).kept = last;
        self.close(id, reason);
    }

    /// A node's budget ran out: it falls silent, repeats itself, or says its fallback.
    pub(super) fn cut_node(&mut self, id: FrameId, slot: u32, outcome: &Outcome) {
        self.withdraw(id, Some(slot));
        let block = self.frame(id).block;
        let node = self.plan.blocks[block.index()].order[slot as usize];
        let place = Place { frame: id, slot, item: None };
        let state = &mut self.frame_mut(id).slots[slot as usize];
        if state.phase != Phase::Acting {
            return;
        }
        let items = state.items.take().map(|items| items.messages()).unwrap_or_default();
        state.programs.clear();
        let messages = match outcome {
            Outcome::Fail | Outcome::Skip => Vec::new(),
            Outcome::Last if !items.is_empty() => items,
            Outcome::Last => {
                let said = self.frame(id).slots[slot as usize].said.last();
                said.iter().flat_map(|said| &said.messages).map(|spoken| Arc::clone(&spoken.message)).collect()
            }
            Outcome::Fallback(text) => vec![self.record(self.message(place, node, text.as_str().into()))],
        };
        if messages.is_empty() {
            self.note_silence(node, place, Silence::Budget);
        }
        self.settle(place, messages);
    }

    /// Takes back every turn inside a frame (or inside one of its slots) and drops the runs inside it.
    fn withdraw(&mut self, frame: FrameId, slot: Option<u32>) {
        let inner = |turns: &Self, mut place: Place| {
            // Climb to the frame in question, then compare the slot there.
            loop {
                if place.frame == frame {
                    return slot.is_none_or(|slot| slot == place.slot);
                }
                match turns.frames[place.frame.index()].as_ref().and_then(|found| found.parent) {
                    Some(parent) => place = parent,
                    None => return false,
                }
            }
        };
        let open = |turns: &Self, at: &usize| {
            let state = &turns.turns[*at];
            matches!(state.status, Status::Ready | Status::Held | Status::Out)
        };
        let found: Vec<_> =
            (0..self.turns.len()).filter(|at| open(self, at) && inner(self, self.turns[*at].place)).collect();
        self.take_back(&found);
        let runs: Vec<_> = (0..self.frames.len())
            .map(|at| FrameId(at as u32))
            .filter(|id| *id != frame && self.frames[id.index()].is_some())
            .filter(|id| self.frame(*id).parent.is_some_and(|parent| inner(self, parent)))
            .collect();
        for id in runs {
            self.frames[id.index()] = None;
            self.free.push(id);
        }
        self.agenda.retain(|duty| match duty {
            Duty::Act(at, _) | Duty::EndRound(at) => self.frames[at.index()].is_some() && *at != frame,
            Duty::Finish(place, _) => self.frames[place.frame.index()].is_some(),
        });
    }

    fn take_back(&mut self, turns: &[usize]) {
        let mut out = Vec::new();
        for at in turns {
            let id = TurnId(*at as u32);
            if self.turns[*at].status == Status::Out {
                out.push(id);
            }
            if matches!(self.turns[*at].status, Status::Out | Status::Ready) {
                self.settle_cost(id, None);
            }
            self.turns[*at].status = Status::Withdrawn;
        }
        if !out.is_empty() {
            self.events.push(Event::Withdrawn { turns: out });
        }
    }

    /// The episode ends at once.
    pub(super) fn end(&mut self, reason: EndReason) {
        let open = |state: &super::turn::TurnState| matches!(state.status, Status::Ready | Status::Held | Status::Out);
        let found: Vec<_> = (0..self.turns.len()).filter(|at| open(&self.turns[*at])).collect();
        self.take_back(&found);
        self.frames.clear();
        self.free.clear();
        self.agenda.clear();
        self.held.clear();
        self.ready.clear();
        self.end = Some(reason);
    }
}
