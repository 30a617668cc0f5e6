//! The names that conditions, expressions and templates see.
//!
//! Conditions may look at what any node of the name space said last, as far as that is settled in every schedule.
//! Whatever becomes words (templates, transforms) sees only what was delivered along an edge: otherwise D would not tell
//! the truth.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Serde};
use serde_json::{Map, Value};

use super::Turns;
use super::frame::{Frame, Place};
use super::message::{Heard, Message, Spoken, silent_record};
use crate::expr::{Expression, Scope};
use crate::team::{BlockId, EdgeId, NodeId};

/// A record that prints as its text.
#[derive(Debug)]
struct Speech(Map<String, Value>);

impl Object for Speech {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        self.0.get(key.as_str()?).map(|value| minijinja::Value::from(Serde(value)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|key| minijinja::Value::from(key.as_str())).collect())
    }

    fn render(self: &Arc<Self>, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.0.get("text").and_then(Value::as_str).unwrap_or_default())
    }
}

/// Records that print as their texts, a blank line between two.
#[derive(Debug)]
struct Speeches(Vec<Arc<Speech>>);

impl Object for Speeches {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        self.0.get(key.as_usize()?).cloned().map(minijinja::Value::from_dyn_object)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }

    fn render(self: &Arc<Self>, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, speech) in self.0.iter().enumerate() {
            formatter.write_str(if at == 0 { "" } else { "\n\n" })?;
            speech.render(formatter)?;
        }
        Ok(())
    }
}

/// A record for templates: prints as its `text`.
pub(super) fn speech(record: Map<String, Value>) -> minijinja::Value {
    minijinja::Value::from_object(Speech(record))
}

pub(super) fn speeches(records: impl IntoIterator<Item = Map<String, Value>>) -> minijinja::Value {
    minijinja::Value::from_object(Speeches(records.into_iter().map(|record| Arc::new(Speech(record))).collect()))
}

/// JSON for templates: a record with a text prints as that text.
pub(super) fn shown(value: &Value) -> minijinja::Value {
    match value {
        Value::Object(record) if record.contains_key("text") => speech(record.clone()),
        Value::Array(items) if !items.is_empty() && items.iter().all(|item| item.get("text").is_some()) => {
            speeches(items.iter().filter_map(|item| item.as_object().cloned()))
        }
        other => minijinja::Value::from(Serde(other)),
    }
}

impl Turns {
    /// The scope of an expression of `node`: conditions, `sets`, `until`.
    pub(super) fn scope_of(&self, place: Place, node: NodeId, expression: &Expression, given: Scope) -> Scope {
        let mut scope = given;
        for name in super::uses::names_of(expression) {
            if !scope.contains_key(&name)
                && let Some(value) = self.known(place, node, &name).or_else(|| self.overheard(place, node, &name))
            {
                scope.insert(name, value);
            }
        }
        scope
    }

    /// The scope of an expression that becomes words: only what was heard.
    pub(super) fn heard_scope(&self, place: Place, node: NodeId, expression: &Expression, heard: &[Heard]) -> Scope {
        let names = super::uses::names_of(expression);
        let value = |name: &String| self.known(place, node, name).or_else(|| self.heard_as(node, heard, name));
        names.iter().filter_map(|name| Some((name.clone(), value(name)?))).collect()
    }

    /// Names that do not depend on what others said.
    pub(super) fn known(&self, place: Place, node: NodeId, name: &str) -> Option<Value> {
        let frame = self.frame(place.frame);
        match name {
            "task" => return Some(Value::Object(self.task_of(frame, node).record())),
            "round" => return Some(frame.round.into()),
            "rounds" => return Some(self.plan.team.block(frame.block).rounds.max.into()),
            "me" => return Some(Value::from(self.plan.team.node(node).name.as_str())),
            _ => {}
        }
        if let Some(variable) = self.plan.variables.get(name) {
            return Some(self.state[variable.index()].clone());
        }
        // A condition at the end of a round belongs to no slot.
        if let Some(items) = frame.slots.get(place.slot as usize).and_then(|slot| slot.items.as_ref())
            && let Some(value) = place.item.and_then(|item| items.name(item, name))
        {
            return Some(value);
        }
        if let Some(value) = frame.names.get(name) {
            return Some(value.clone());
        }
        let agent = self.plan.team.node(node).agent()?;
        agent.vars.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    /// The task as a node sees it: its own observation, when the engine gave it one.
    pub(super) fn task_of<'a>(&'a self, frame: &'a Frame, node: NodeId) -> &'a super::Task {
        self.own.get(&node).unwrap_or(&frame.task)
    }

    /// What the nodes called `label` said last, as far as `place` comes after them.
    fn overheard(&self, place: Place, node: NodeId, label: &str) -> Option<Value> {
        let frame = self.frame(place.frame);
        let space = self.plan.blocks[frame.block.index()].space;
        let nodes = self.plan.labels.get(&space)?.get(label)?;
        let last = |other: &NodeId| {
            let said = self.said_last(place, *other, *other == node);
            said.iter().map(|spoken| self.open_record(&spoken.message)).collect::<Vec<_>>()
        };
        if let [only] = nodes.as_slice()
            && self.plan.team.node(*only).map.is_none()
        {
            let record = last(only).pop();
            return Some(record.unwrap_or_else(|| Value::Object(silent_record(&self.plan.team, *only))));
        }
        Some(Value::Array(nodes.iter().flat_map(last).collect()))
    }

    /// The record of a message as conditions see it: all fields, since conditions speak to nobody.
    pub(super) fn open_record(&self, message: &Message) -> Value {
        Value::Object(message.record(&self.plan.team, message.node, None))
    }

    /// What `node` said last, seen from `place`: this round only where `place` comes after it in canonical order.
    pub(super) fn said_last(&self, place: Place, node: NodeId, own: bool) -> Vec<&Spoken> {
        let team = &self.plan.team;
        let (mut at, mut slot, mut end) = (place.frame, place.slot, place.slot == u32::MAX);
        loop {
            let frame = self.frame(at);
            if let Some(member) = team.member_of(frame.block, node) {
                let from = self.plan.slot(member);
                let settled = end || (from as u32) < slot || own;
                let limit = if settled { Some(frame.round) } else { frame.round.checked_sub(1) };
                let round = limit.and_then(|limit| frame.slots[from].up_to(limit));
                return round.map(|round| round.of(node, member == node).collect()).unwrap_or_default();
            }
            let Some(parent) = frame.parent else { return Vec::new() };
            (at, slot, end) = (parent.frame, parent.slot, false);
        }
    }

    /// `label`, `messages` or `inputs` among what a node heard.
    pub(super) fn heard_as(&self, viewer: NodeId, heard: &[Heard], label: &str) -> Option<Value> {
        let team = &self.plan.team;
        let record = |heard: &Heard| {
            let text = heard.message.carried(team, heard.edge);
            Value::Object(heard.message.record(team, viewer, text))
        };
        if label == "messages" || label == "inputs" {
            return Some(Value::Array(heard.iter().map(record).collect()));
        }
        let space = self.plan.blocks[team.node(viewer).block.index()].space;
        let nodes = self.plan.labels.get(&space)?.get(label)?;
        let mut spoke = heard.iter().filter(|heard| nodes.contains(&team.edge(heard.edge).from)).map(record);
        if let [only] = nodes.as_slice()
            && team.node(*only).map.is_none()
        {
            return Some(spoke.next_back().unwrap_or_else(|| Value::Object(silent_record(team, *only))));
        }
        Some(Value::Array(spoke.collect()))
    }

    /// The messages an edge brings into a frame of the block its hearer is in, guards applied.
    pub(super) fn delivered(&self, place: Place, edge: EdgeId) -> Vec<Arc<Message>> {
        let team = &self.plan.team;
        let plan = self.plan.edges[edge.index()];
        let Some(frame) = self.enclosing(place, plan.common) else { return Vec::new() };
        let Some(round) = frame.round.checked_sub(team.edge(edge).delay) else { return Vec::new() };
        let Some(said) = frame.slots[plan.from as usize].in_round(round) else { return Vec::new() };
        said.of(team.edge(edge).from, plan.direct)
            .filter(|spoken| !spoken.closed.contains(&edge) && spoken.message.carried(team, edge).is_some())
            .map(|spoken| Arc::clone(&spoken.message))
            .collect()
    }

    /// The frame of `block` that `place` is in.
    fn enclosing(&self, place: Place, block: BlockId) -> Option<&Frame> {
        let mut frame = self.frame(place.frame);
        while frame.block != block {
            frame = self.frame(frame.parent?.frame);
        }
        Some(frame)
    }
}
