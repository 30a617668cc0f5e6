//! Unrolled observations: õⱼ = fuse(oⱼ, {aᵢ : D(i, j) = 1}), rendered when a turn is taken.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::message::written;
use super::scope::{shown, speech};
use super::turn::{Brief, Observation, ObservationError, TurnState};
use super::{TurnId, Turns};
use crate::spec::Context;
use crate::team::{Agent, EdgeOrigin, MapOrder, MemoryId, NodeId, NodeKind, Op};
use crate::template::Template;

/// Where the records of memories come from. `()` remembers nothing.
pub trait Memories {
    /// The records of `memory` that `reader` should see for `query`, best first.
    fn recall(&self, memory: MemoryId, reader: NodeId, query: &str) -> Vec<Value>;
}

impl Memories for () {
    fn recall(&self, _memory: MemoryId, _reader: NodeId, _query: &str) -> Vec<Value> {
        Vec::new()
    }
}

/// One rendering: a turn, the names worked out so far, and what templates may ask for.
struct Rendering<'a> {
    turns: &'a Turns,
    state: &'a TurnState,
    memories: &'a dyn Memories,
}

impl Turns {
    /// What a turn is shown. The same in every schedule.
    pub fn observation(&self, turn: TurnId, memories: &dyn Memories) -> Result<Observation, ObservationError> {
        let state = &self.turns[turn.0 as usize];
        let rendering = Rendering { turns: self, state, memories };
        let rendered = match &self.plan.team.node(state.turn.node).kind {
            NodeKind::Agent(agent) => rendering.agent(agent),
            NodeKind::Function(function) => match &function.op {
                Op::Tool { arguments, .. } => rendering.tool(arguments),
                _ => Ok(Observation::default()),
            },
            NodeKind::Block(_) => Ok(Observation::default()),
        };
        rendered
            .map_err(|message| ObservationError { node: self.plan.team.node(state.turn.node).name.clone(), message })
    }
}

impl Rendering<'_> {
    fn agent(&self, agent: &Agent) -> Result<Observation, String> {
        let override_role = self.spawned("role");
        let system = match &override_role {
            Some(role) => written(role).to_string(),
            None => self.render(&agent.role)?,
        };
        let mut user = match (&agent.prompt, &self.state.complaint) {
            (_, Some(complaint)) => {
                format!("Your answer could not be read: {complaint}. Answer again in the required form.")
            }
            (Some(prompt), None) => self.render(prompt)?,
            (None, None) => match &self.state.brief {
                Some(brief) => self.with_memories(agent, brief.text.clone()),
                None => self.fused(agent)?,
            },
        };
        if user.is_empty() {
            user.clone_from(&self.task().text);
        }
        Ok(Observation { system, user, continues: self.state.continues, arguments: Vec::new() })
    }

    fn tool(&self, arguments: &[(String, crate::source::Spanned<Template>)]) -> Result<Observation, String> {
        let arguments = arguments.iter().map(|(name, value)| Ok((name.clone(), self.render(value)?)));
        Ok(Observation { arguments: arguments.collect::<Result<_, String>>()?, ..Observation::default() })
    }

    /// The default fusion: memories, the task, the item, then every message in declared order.
    fn fused(&self, agent: &Agent) -> Result<String, String> {
        let node = self.turns.plan.team.node(self.state.turn.node);
        let mut parts = Vec::new();
        let knows_task = self.state.continues.is_some_and(|before| {
            let before = &self.turns.turns[before.0 as usize].turn;
            before.step == self.state.turn.step
        });
        if node.sees_task && !knows_task {
            parts.push(self.task().text.clone());
        }
        if agent.context == Context::Replace
            && let Some(last) = self.turns.last_words(self.state)
        {
            parts.push(format!("{}: {last}", node.name));
        }
        self.item_parts(node, &mut parts);
        parts
            .extend(self.turns.fused_messages(&self.state.heard, |template, names| self.render_with(template, names))?);
        Ok(self.with_memories(agent, parts.join("\n\n")))
    }

    fn item_parts(&self, node: &crate::team::Node, parts: &mut Vec<String>) {
        let (Some(map), Some(_)) = (&node.map, self.state.place.item) else { return };
        if map.spawn {
            return;
        }
        let name = |name: &str| self.turns.known(self.state.place, self.state.turn.of, name);
        match map.order {
            MapOrder::Parallel => {}
            MapOrder::Chain => {
                let done = name("done").and_then(|done| done.as_array().cloned()).unwrap_or_default();
                parts.extend(done.iter().map(|text| written(text).to_string()));
            }
            MapOrder::Dag { .. } => {
                let needs = name("needs").and_then(|needs| needs.as_object().cloned()).unwrap_or_default();
                parts.extend(needs.iter().map(|(id, text)| format!("{id}: {}", written(text))));
            }
        }
        parts.extend(name(&map.item).map(|item| item_text(&item)));
    }

    fn with_memories(&self, agent: &Agent, text: String) -> String {
        let mut parts = Vec::new();
        for id in &agent.reads {
            let records = self.memories.recall(*id, self.state.turn.node, &self.query());
            if !records.is_empty() {
                let lines: Vec<_> = records.iter().map(|record| format!("- {}", item_text(record))).collect();
                parts.push(format!("{}:\n{}", self.turns.plan.team.memories()[id.index()].name, lines.join("\n")));
            }
        }
        parts.push(text);
        parts.retain(|part| !part.is_empty());
        parts.join("\n\n")
    }

    /// What memories are asked: the words that were delivered, or the task.
    fn query(&self) -> String {
        let texts: Vec<_> = self.state.heard.iter().map(|heard| &*heard.message.public).collect();
        if texts.is_empty() { self.task().text.clone() } else { texts.join("\n") }
    }

    fn task(&self) -> &super::Task {
        self.turns.task_of(self.turns.frame(self.state.frame()), self.state.turn.node)
    }

    /// A setting of the item that this agent was spawned from.
    fn spawned(&self, setting: &str) -> Option<Value> {
        let (place, of) = (self.state.place, self.state.turn.of);
        let map = self.turns.plan.team.node(of).map.as_ref().filter(|map| map.spawn)?;
        self.turns.known(place, of, &map.item)?.get(setting).cloned()
    }

    fn render(&self, template: &Template) -> Result<String, String> {
        self.render_with(template, Map::new())
    }

    fn render_with(&self, template: &Template, given: Map<String, Value>) -> Result<String, String> {
        if template.is_literal() {
            return Ok(template.source().to_owned());
        }
        let names = self.turns.plan.library.names(template).iter();
        let values: BTreeMap<&str, minijinja::Value> =
            names.filter_map(|name| Some((name.as_str(), self.name(name, &given)?))).collect();
        let scope = minijinja::Value::from(values);
        self.turns.plan.library.render(template, &scope).map_err(|error| error.to_string())
    }

    fn name(&self, name: &str, given: &Map<String, Value>) -> Option<minijinja::Value> {
        if let Some(value) = given.get(name) {
            return Some(shown(value));
        }
        let brief: Option<&Brief> = self.state.brief.as_deref();
        if let Some(value) = brief.and_then(|brief| brief.names.get(name)) {
            return Some(shown(value));
        }
        let (turns, state) = (self.turns, self.state);
        let memory = turns.plan.team.memories().iter().position(|memory| memory.name == name);
        if let Some(memory) = memory {
            let records = self.memories.recall(MemoryId::from(memory), state.turn.node, &self.query());
            return Some(shown(&Value::Array(records)));
        }
        if name == "last" {
            return Some(minijinja::Value::from(turns.last_words(state).unwrap_or_default()));
        }
        if name == "task" {
            return Some(speech(self.task().record()));
        }
        // An agent that is employed brings its own constants, but the messages are those of its employer.
        let known = turns.known(state.place, state.turn.node, name);
        known.or_else(|| turns.heard_as(state.turn.of, &state.heard, name)).map(|value| shown(&value))
    }
}

impl Turns {
    /// Every message that is not a list to run over, written by its edge's template or as `name: text`.
    pub(super) fn fused_messages(
        &self,
        heard: &[super::Heard],
        render: impl Fn(&Template, Map<String, Value>) -> Result<String, String>,
    ) -> Result<Vec<String>, String> {
        let team = &self.plan.team;
        let mut parts = Vec::with_capacity(heard.len());
        for heard in heard {
            let edge = team.edge(heard.edge);
            if edge.origin == EdgeOrigin::Over {
                continue;
            }
            let text = heard.message.carried(team, heard.edge).unwrap_or_default();
            parts.push(match &edge.template {
                None => format!("{}: {text}", team.node(edge.from).name),
                Some(template) => {
                    let record = heard.message.record(team, edge.to, Some(text));
                    let given = [
                        ("message".to_owned(), Value::Object(record)),
                        ("from".to_owned(), Value::from(team.node(edge.from).name.as_str())),
                        ("to".to_owned(), Value::from(team.node(edge.to).name.as_str())),
                    ];
                    render(template, Map::from_iter(given))?
                }
            });
        }
        Ok(parts)
    }

    /// The last words of the agent whose turn it is, in its own conversation.
    fn last_words(&self, state: &TurnState) -> Option<String> {
        self.conversations.get(&self.conversation(state.place, state.turn.node)).and_then(|last| last.1.clone())
    }
}

/// An item in words: its `text` or `task` when it is a record, else as it is written.
pub(super) fn item_text(item: &Value) -> String {
    let inner = item.get("text").or_else(|| item.get("task")).filter(|text| text.is_string());
    written(inner.unwrap_or(item)).to_string()
}
