//! The team as entities: nodes, policies, and edges between them. petgraph describes, entities execute.

use bevy_ecs::prelude::*;
use marft_topologies::Team;

use super::components::{Edge, HeardBy, HeardFrom, Node, Policy, Uses};

/// The entities of a team, by its ids.
pub(super) struct Graph {
    pub(super) policies: Vec<Entity>,
    pub(super) edges: Vec<Entity>,
}

/// Spawns a team.
pub(super) fn spawn(world: &mut World, team: &Team) -> Graph {
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
    Graph { policies, edges }
}
