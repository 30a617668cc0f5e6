//! The dependency function D as a matrix, and the layers it puts the team in.

use crate::team::{NodeId, NodeKind, Team};

/// D: which nodes' actions are conditioned on which (rows speak, columns hear).
///
/// Equation of the Flex-POMDP: D(aⁱ, aʲ) = 1 iff the action of j is conditioned on the action of i.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    nodes: usize,
    bits: Vec<u64>,
}

impl Dependency {
    /// D ≡ 0 over `nodes` nodes: the plain Dec-POMDP.
    pub fn none(nodes: usize) -> Self {
        Self { nodes, bits: vec![0; (nodes * nodes).div_ceil(64)] }
    }

    /// What the team's edges allow, whatever their delay.
    pub fn of(team: &Team) -> Self {
        let mut matrix = Self::none(team.nodes().len());
        for edge in team.edges() {
            matrix.set(edge.from, edge.to);
        }
        matrix
    }

    /// Number of nodes: the matrix is square.
    pub fn len(&self) -> usize {
        self.nodes
    }

    /// Whether there is no node at all.
    pub fn is_empty(&self) -> bool {
        self.nodes == 0
    }

    /// Whether `to` is conditioned on `from`.
    pub fn get(&self, from: NodeId, to: NodeId) -> bool {
        let at = from.index() * self.nodes + to.index();
        self.bits[at / 64] >> (at % 64) & 1 == 1
    }

    pub(crate) fn set(&mut self, from: NodeId, to: NodeId) {
        let at = from.index() * self.nodes + to.index();
        self.bits[at / 64] |= 1 << (at % 64);
    }

    /// Whether every dependency of `self` is one of `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.nodes == other.nodes && self.bits.iter().zip(&other.bits).all(|(own, known)| own & !known == 0)
    }
}

/// Agents and functions by the earliest moment they can act: those of one layer may act side by side.
///
/// Edges with delay do not count. A block takes as many layers as its members do; employed agents act in the layer of
/// their employer and are left out. A cycle (which the checker refuses) ends in one last layer.
pub fn layers(team: &Team) -> Vec<Vec<NodeId>> {
    // Per block: layers of its members relative to its start, and its height. Inner blocks come after outer ones.
    let blocks = team.blocks();
    let mut height = vec![1_usize; blocks.len()];
    let mut start: Vec<Vec<usize>> = vec![Vec::new(); blocks.len()];
    let mut links = vec![Vec::new(); blocks.len()];
    for edge in team.edges().iter().filter(|edge| edge.delay == 0) {
        let lifted = team.lift(edge);
        if lifted.from != lifted.to {
            links[lifted.block.index()].push((lifted.from, lifted.to));
        }
    }
    let mut position = vec![0_usize; team.nodes().len()];
    for (id, block) in blocks.iter().enumerate().rev() {
        for (at, member) in block.members.iter().enumerate() {
            position[member.index()] = at;
        }
        let links: Vec<_> = links[id].iter().map(|(from, to)| (position[from.index()], position[to.index()])).collect();
        let tall = |at: usize| match &team.node(block.members[at]).kind {
            NodeKind::Block(inner) => height[inner.index()],
            NodeKind::Agent(_) | NodeKind::Function(_) => 1,
        };
        let starts = longest_paths(block.members.len(), &links, tall);
        let end = starts.iter().enumerate().map(|(at, start)| start + tall(at)).max();
        height[id] = end.unwrap_or(0);
        start[id] = starts;
    }
    let mut layers: Vec<Vec<NodeId>> = vec![Vec::new(); height.first().copied().unwrap_or(0)];
    let mut offset = vec![0_usize; blocks.len()];
    for (id, block) in blocks.iter().enumerate() {
        for (at, member) in block.members.iter().enumerate() {
            let layer = offset[id] + start[id][at];
            match &team.node(*member).kind {
                NodeKind::Block(inner) => offset[inner.index()] = layer,
                NodeKind::Agent(_) | NodeKind::Function(_) => layers[layer].push(*member),
            }
        }
    }
    layers.retain(|layer| !layer.is_empty());
    for layer in &mut layers {
        layer.sort_unstable();
    }
    layers
}

/// Per node the length of the longest path to it, counting `tall(node)` for each node on the way. O(nodes + links).
///
/// Nodes on or behind a cycle come after all others.
pub(crate) fn longest_paths(nodes: usize, links: &[(usize, usize)], tall: impl Fn(usize) -> usize) -> Vec<usize> {
    let mut offsets = vec![0_usize; nodes + 1];
    let mut missing = vec![0_usize; nodes];
    for (from, to) in links {
        offsets[from + 1] += 1;
        missing[*to] += 1;
    }
    for node in 0..nodes {
        offsets[node + 1] += offsets[node];
    }
    let mut next = offsets.clone();
    let mut targets = vec![0_usize; links.len()];
    for (from, to) in links {
        targets[next[*from]] = *to;
        next[*from] += 1;
    }
    let mut start = vec![0_usize; nodes];
    let mut done: Vec<usize> = (0..nodes).filter(|node| missing[*node] == 0).collect();
    let mut at = 0;
    while let Some(node) = done.get(at).copied() {
        at += 1;
        for target in &targets[offsets[node]..offsets[node + 1]] {
            start[*target] = start[*target].max(start[node] + tall(node));
            missing[*target] -= 1;
            if missing[*target] == 0 {
                done.push(*target);
            }
        }
    }
    let last = done.iter().map(|node| start[*node] + tall(*node)).max().unwrap_or(0);
    for (node, missing) in missing.iter().enumerate() {
        if *missing > 0 {
            start[node] = last;
        }
    }
    start
}
