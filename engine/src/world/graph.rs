//! The team as entities: nodes, policies, and edges between them. petgraph describes, entities execute.

use std::collections::HashMap;
use std::sync::Arc;

use bevy_ecs::prelude::*;
use marft_agents::parse::Form;
use marft_topologies::Team;
use marft_topologies::spec;
use marft_topologies::team::PolicyKind;
use serde_json::Value;

use super::components::{Edge, HeardBy, HeardFrom, Node, Policy, Uses};
use crate::tool::Tools;

/// The entities of a team, by its ids, and what turns need to know of its nodes.
pub(super) struct Graph {
    pub(super) policies: Vec<Entity>,
    pub(super) edges: Vec<Entity>,
    pub(super) nodes: Vec<NodeRule>,
}

/// What the world needs to know of a node with every turn, looked up once.
#[derive(Debug, Clone)]
pub(super) struct NodeRule {
    /// Its label.
    pub(super) label: Arc<str>,
    /// Number of its label, from 0.
    pub(super) label_id: usize,
    /// For agents: who answers.
    pub(super) policy: Option<usize>,
    /// Whether its tokens are trained.
    pub(super) trainable: bool,
    /// Whether a later turn may go on from what it was shown and said.
    pub(super) keeps: bool,
    /// What it is told of the tools it may call; empty where it has none, or its server is told.
    pub(super) tools: String,
    /// What its server is told of them.
    pub(super) declared: Arc<[Value]>,
    /// The form that its answers are held to.
    pub(super) form: Option<Arc<Form>>,
}

/// Spawns a team.
pub(super) fn spawn(world: &mut World, team: &Team, tools: &Tools) -> Graph {
    let policies: Vec<Entity> = team.policies().iter().map(|_| world.spawn(Policy { turns: 0 }).id()).collect();
    let nodes: Vec<Entity> = team
        .node_ids()
        .map(|id| {
            let mut node = world.spawn(Node(id));
            if let Some(agent) = team.node(id).agent() {
                node.insert(Uses(policies[agent.policy.index()]));
            }
            node.id()
        })
        .collect();
    let edges = team
        .edges()
        .iter()
        .map(|edge| {
            let (from, to) = (nodes[edge.from.index()], nodes[edge.to.index()]);
            // a node that hears its own earlier words has an edge with one end
            let mut spawned = world.spawn((Edge { delivered: 0 }, HeardFrom(from)));
            if from != to {
                spawned.insert(HeardBy(to));
            }
            spawned.id()
        })
        .collect();
    Graph { policies, edges, nodes: rules(team, tools) }
}

fn rules(team: &Team, tools: &Tools) -> Vec<NodeRule> {
    let mut labels: HashMap<&str, usize> = HashMap::new();
    team.nodes()
        .iter()
        .map(|node| {
            let next = labels.len();
            let agent = node.agent();
            let calls = agent.filter(|agent| agent.max_tool_calls > 0 && !agent.tools.is_empty());
            let native = agent.is_some_and(|agent| declares(&team.policy(agent.policy).kind));
            let (told, declaring) = if native { (None, calls) } else { (calls, None) };
            NodeRule {
                label: node.label.as_str().into(),
                label_id: *labels.entry(&node.label).or_insert(next),
                policy: agent.map(|agent| agent.policy.index()),
                trainable: agent.is_some_and(|agent| agent.trainable),
                keeps: calls.is_some()
                    || agent.is_some_and(|agent| {
                        agent.context == spec::Context::Grow || agent.output.on_parse_error.retries > 0
                    }),
                tools: told.map(|agent| introduce(&agent.tools, &tools.schemas(&agent.tools))).unwrap_or_default(),
                declared: declaring.map(|agent| tools.declared(&agent.tools)).unwrap_or_default().into(),
                form: agent.and_then(|agent| agent.constraint.as_deref()).map(|held| Arc::new(Form::from(held))),
            }
        })
        .collect()
}

/// Whether tools are declared to the server behind a policy.
fn declares(kind: &PolicyKind) -> bool {
    matches!(kind, PolicyKind::Remote { native_tools, .. } if native_tools.value)
}

/// What an agent is told of its tools, in the form that models trained on Hermes-style calls know.
fn introduce(names: &[String], schemas: &[Value]) -> String {
    let schemas: Vec<String> = schemas.iter().map(Value::to_string).collect();
    let described =
        if schemas.is_empty() { names.join(", ") } else { format!("<tools>\n{}\n</tools>", schemas.join("\n")) };
    format!(
        "# Tools\n\nYou may call these tools: {described}\n\nTo call one, write\n<tool_call>\n\
         {{\"name\": \"…\", \"arguments\": {{…}}}}\n</tool_call>\nand wait for its result."
    )
}
