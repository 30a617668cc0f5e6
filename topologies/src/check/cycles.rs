//! Cycles: within one round, who waits for whom must be acyclic. Also edges whose delay outlasts the rounds.

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::{Code, Problem};
use crate::team::{Edge, NodeId, Team};

/// Most nodes of a cycle named in a message.
const NAMED: usize = 8;

pub(super) fn check(team: &Team, problems: &mut Vec<Problem>) {
    let mut graph: DiGraph<(), u32> = DiGraph::with_capacity(team.nodes().len(), team.edges().len());
    for _ in team.nodes() {
        graph.add_node(());
    }
    for (index, edge) in team.edges().iter().enumerate() {
        let lifted = team.lift(edge);
        let rounds = team.block(lifted.block).rounds.max;
        if edge.delay >= rounds {
            problems.push(silent(team, edge, rounds));
        }
        if edge.delay > 0 {
            continue;
        }
        if lifted.from == lifted.to {
            problems.push(inside(team, edge));
        } else {
            graph.add_edge(NodeIndex::new(lifted.from.index()), NodeIndex::new(lifted.to.index()), index as u32);
        }
    }
    for component in kosaraju_scc(&graph) {
        if component.len() > 1 {
            problems.push(uncapped(team, &graph, &component));
        }
    }
}

fn silent(team: &Team, edge: &Edge, rounds: u32) -> Problem {
    let (from, to) = (&team.node(edge.from).label, &team.node(edge.to).label);
    let message = format!(
        "the edge from `{from}` to `{to}` never delivers: it is {} late and there is {rounds} in all",
        count(edge.delay)
    );
    let help = format!(
        "give the block around both at least {}: `rounds = {{ max = {} }}`",
        count(edge.delay + 1),
        edge.delay + 1
    );
    Problem::new(Code::SilentEdge, message, edge.span).help(help)
}

fn count(rounds: u32) -> String {
    format!("{rounds} round{}", if rounds == 1 { "" } else { "s" })
}

fn inside(team: &Team, edge: &Edge) -> Problem {
    let (from, to) = (&team.node(edge.from).label, &team.node(edge.to).label);
    let message = format!("cycle without a cap: `{to}` waits for `{from}`, and one contains the other");
    Problem::new(Code::UncappedCycle, message, edge.span).help(format!("write `{from}@-1` to hear its round before"))
}

/// Names one shortest cycle through the first member of a strongly connected component.
fn uncapped(team: &Team, graph: &DiGraph<(), u32>, component: &[NodeIndex]) -> Problem {
    let start = component.iter().copied().min().unwrap_or_default();
    let mut inside = vec![false; graph.node_count()];
    for node in component {
        inside[node.index()] = true;
    }
    let mut came_from = vec![None; graph.node_count()];
    let mut queue = std::collections::VecDeque::from([start]);
    let mut closing = start;
    'search: while let Some(node) = queue.pop_front() {
        for next in graph.neighbors(node) {
            if next == start {
                closing = node;
                break 'search;
            }
            if inside[next.index()] && came_from[next.index()].is_none() {
                came_from[next.index()] = Some(node);
                queue.push_back(next);
            }
        }
    }
    let mut ring = vec![closing];
    while let Some(before) = ring.last().and_then(|node| came_from[node.index()]) {
        ring.push(before);
    }
    ring.reverse();
    let name = |node: &NodeIndex| format!("`{}`", team.node(NodeId::from(node.index())).label);
    let mut names: Vec<_> = ring.iter().take(NAMED).map(name).collect();
    if ring.len() > NAMED {
        names.push(format!("… ({} more)", ring.len() - NAMED));
    }
    names.push(name(&ring[0]));
    let edge = graph
        .find_edge(closing, start)
        .and_then(|edge| graph.edge_weight(edge))
        .map(|edge| &team.edges()[*edge as usize]);
    let span = edge.map_or(team.node(NodeId::from(start.index())).span, |edge| edge.span);
    let message = format!("cycle without a cap: {}", names.join(" → "));
    let help = format!(
        "give one edge a delay (`{}@-1`) and the block around it `rounds = {{ max = N }}`",
        team.node(NodeId::from(closing.index())).label
    );
    Problem::new(Code::UncappedCycle, message, span).help(help)
}
