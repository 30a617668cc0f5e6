//! Messages: what a node said, and what of it each hearer may see.

use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Key, TurnId};
use crate::team::{Agent, Carries, EdgeId, NodeId, Team, Visibility};

/// What an engine hands in when a turn is done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    /// The words, verbatim.
    pub text: String,
    /// Sampled tokens.
    pub tokens: u32,
    /// Calls of the policy: 1, and one more per tool call.
    pub calls: u32,
    /// Money spent.
    pub cost: f64,
    /// Log-probabilities of the sampled tokens, when the policy gives them.
    pub logprobs: Option<LogProbs>,
}

impl Said {
    /// Words that cost one call.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), calls: 1, ..Self::default() }
    }
}

/// Log-probabilities of an output (natural logarithm).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LogProbs {
    /// Mean over all tokens.
    pub mean: f64,
    /// The least.
    pub min: f64,
    /// Mean over the last sentence.
    pub last: f64,
}

/// What a node said: an agent's output, a function's result, or the output of a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who.
    pub node: NodeId,
    /// Round of the block that the node, or whoever employs it, is a member of, from 0.
    pub round: u32,
    /// Item, under a map.
    pub item: Option<u32>,
    /// Where in the episode.
    pub key: Key,
    /// The turn that sampled it; `None` for functions and blocks.
    pub turn: Option<TurnId>,
    /// The words, verbatim.
    pub text: Arc<str>,
    /// What was read out of the words.
    pub fields: Map<String, Value>,
    /// The result as a value, for functions and blocks.
    pub value: Option<Value>,
    /// What it heard, as delivered.
    pub heard: Arc<[Heard]>,
    /// Why the words could not be read, if so.
    pub unread: Option<String>,
    /// Sampled tokens.
    pub tokens: u32,
    /// Log-probabilities, when known.
    pub logprobs: Option<LogProbs>,
    pub(super) public: Arc<str>,
    pub(super) hidden: Vec<Hidden>,
}

/// Part of the words that not everyone may see.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hidden {
    /// Name of the field.
    pub(super) field: String,
    /// Where it stands in the public text; `None` for a property of JSON output.
    pub(super) range: Option<Range<usize>>,
}

/// A delivered message.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Along which edge.
    pub edge: EdgeId,
    /// What.
    pub message: Arc<Message>,
}

/// A message with the edges that its guards closed.
#[derive(Debug, Clone)]
pub(super) struct Spoken {
    pub(super) message: Arc<Message>,
    pub(super) closed: Box<[EdgeId]>,
}

fn may_see(agent: Option<&Agent>, field: &str, viewer: NodeId, speaker: NodeId) -> bool {
    let declared = agent.and_then(|agent| agent.output.fields.iter().find(|known| known.name == field));
    match declared.map(|field| &field.visible) {
        None | Some(Visibility::Public) => true,
        Some(Visibility::Private) => viewer == speaker,
        Some(Visibility::Only(nodes)) => viewer == speaker || nodes.contains(&viewer),
    }
}

impl Message {
    /// The words as `viewer` may see them: without the speaker's scratch and without fields kept from `viewer`.
    pub fn text_for(&self, team: &Team, viewer: NodeId) -> Arc<str> {
        let agent = team.node(self.node).agent();
        let hidden = self.hidden.iter().filter(|hidden| !may_see(agent, &hidden.field, viewer, self.node));
        let hidden: Vec<_> = hidden.collect();
        if hidden.is_empty() {
            return Arc::clone(&self.public);
        }
        if hidden.iter().any(|hidden| hidden.range.is_none()) {
            let mut properties = self.fields.clone();
            properties.retain(|name, _| !hidden.iter().any(|hidden| hidden.field == *name));
            return Value::Object(properties).to_string().into();
        }
        let mut ranges: Vec<_> = hidden.iter().filter_map(|hidden| hidden.range.clone()).collect();
        ranges.sort_by_key(|range| range.start);
        let (mut text, mut at) = (String::with_capacity(self.public.len()), 0);
        for range in ranges {
            text.push_str(self.public.get(at..range.start).unwrap_or_default());
            at = at.max(range.end);
        }
        text.push_str(self.public.get(at..).unwrap_or_default());
        text.into()
    }

    /// A field as `viewer` may see it.
    pub fn field_for(&self, team: &Team, viewer: NodeId, field: &str) -> Option<&Value> {
        let value = self.value.as_ref().filter(|_| field == "value");
        self.fields
            .get(field)
            .or(value)
            .filter(|value| !value.is_null() && may_see(team.node(self.node).agent(), field, viewer, self.node))
    }

    /// What an edge brings of it; `None` when it carries a field that is absent or not for that hearer.
    pub fn carried(&self, team: &Team, edge: EdgeId) -> Option<Arc<str>> {
        let edge = team.edge(edge);
        match &edge.carries {
            Carries::Text => Some(self.text_for(team, edge.to)),
            Carries::Field(field) => self.field_for(team, edge.to, field).map(written),
        }
    }

    /// The record that guards and templates of `viewer` see.
    pub(super) fn record(&self, team: &Team, viewer: NodeId, text: Option<Arc<str>>) -> Map<String, Value> {
        let node = team.node(self.node);
        let mut record = Map::new();
        let text = text.unwrap_or_else(|| self.text_for(team, viewer));
        record.insert("text".into(), Value::from(&*text));
        record.insert("spoke".into(), Value::Bool(true));
        record.insert("from".into(), Value::from(node.name.as_str()));
        record.insert("label".into(), Value::from(node.label.as_str()));
        record.insert("round".into(), self.round.into());
        record.insert("index".into(), self.item.or(node.replica.map(|replica| replica.index)).unwrap_or(0).into());
        record.insert("tokens".into(), self.tokens.into());
        if let Some(LogProbs { mean, min, last }) = self.logprobs {
            record.insert("logprob".into(), serde_json::json!({ "mean": mean, "min": min, "last": last }));
        }
        record.extend(absent_fields(node.agent()));
        for (name, value) in &self.fields {
            if may_see(node.agent(), name, viewer, self.node) {
                record.insert(name.clone(), value.clone());
            }
        }
        if let Some(value) = &self.value {
            record.insert("value".into(), value.clone());
        }
        record
    }
}

/// The record of a node that has not spoken.
pub(super) fn silent_record(team: &Team, node: NodeId) -> Map<String, Value> {
    let node = team.node(node);
    let mut record = Map::new();
    record.insert("text".into(), Value::from(""));
    record.insert("spoke".into(), Value::Bool(false));
    record.insert("from".into(), Value::from(node.name.as_str()));
    record.extend(absent_fields(node.agent()));
    record
}

fn absent_fields(agent: Option<&Agent>) -> impl Iterator<Item = (String, Value)> {
    agent.into_iter().flat_map(|agent| &agent.output.fields).map(|field| (field.name.clone(), Value::Null))
}

/// A value as words: text as it is, everything else as JSON.
pub(super) fn written(value: &Value) -> Arc<str> {
    match value {
        Value::String(text) => text.as_str().into(),
        other => other.to_string().into(),
    }
}
