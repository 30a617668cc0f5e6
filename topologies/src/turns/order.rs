//! The canonical order of each block's members, and who waits for whom.

use std::collections::{BTreeSet, HashMap};

use super::plan::{BlockPlan, NodePlan};
use crate::team::{BlockId, BlockKind, Join, Lifted, NodeId, NodeKind, Team};

/// Lists of slots, one per slot (compressed rows).
#[derive(Debug, Default)]
pub(super) struct Rows {
    offsets: Vec<u32>,
    slots: Vec<u32>,
}

impl Rows {
    /// Groups sorted pairs by their first member.
    fn new(rows: usize, pairs: &[(u32, u32)]) -> Self {
        let mut offsets = vec![0_u32; rows + 1];
        for (row, _) in pairs {
            offsets[*row as usize + 1] += 1;
        }
        for row in 0..rows {
            offsets[row + 1] += offsets[row];
        }
        Self { offsets, slots: pairs.iter().map(|(_, slot)| *slot).collect() }
    }

    pub(super) fn of(&self, row: usize) -> &[u32] {
        &self.slots[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }
}

/// Plans every block; fills in the slots of `nodes`.
pub(super) fn blocks(
    team: &Team,
    lifted: &[Lifted],
    nodes: &mut [NodePlan],
    labels: &HashMap<BlockId, HashMap<String, Vec<NodeId>>>,
    spaces: &[BlockId],
) -> Vec<BlockPlan> {
    // Per block: pairs of members (speaker, hearer) joined by an edge without delay, and whether the hearer is the end.
    let mut pairs: Vec<Vec<(NodeId, NodeId, bool)>> = vec![Vec::new(); team.blocks().len()];
    for (edge, lifted) in team.edges().iter().zip(lifted).filter(|(edge, _)| edge.delay == 0) {
        pairs[lifted.block.index()].push((lifted.from, lifted.to, lifted.to == edge.to));
    }
    let mut orders = Vec::with_capacity(pairs.len());
    for (block, pairs) in team.blocks().iter().zip(&pairs) {
        let order = topological(&block.members, pairs);
        for (slot, member) in order.iter().enumerate() {
            nodes[member.index()].slot = slot as u32;
        }
        orders.push(order);
    }
    let named = named(team, nodes, labels, spaces);
    let touched = touched(team, nodes);
    let mut plans = Vec::with_capacity(orders.len());
    for (id, order) in orders.into_iter().enumerate() {
        let slot = |node: NodeId| nodes[node.index()].slot;
        let mut waits: BTreeSet<(u32, u32)> = BTreeSet::new();
        let mut watches: BTreeSet<(u32, u32)> = BTreeSet::new();
        for (from, to, direct) in &pairs[id] {
            let first = *direct && team.node(*to).join != Join::All;
            if first { &mut watches } else { &mut waits }.insert((slot(*from), slot(*to)));
        }
        waits.extend(named[id].iter().copied().filter(|pair| pair.0 < pair.1));
        waits.extend(taking_turns(&order, &touched));
        waits.retain(|(from, to)| from != to);
        let mut counts = vec![0; order.len()];
        for (_, to) in &waits {
            counts[*to as usize] += 1;
        }
        let router = match &team.blocks()[id].kind {
            BlockKind::Routed(routing) => Some(slot(routing.router)),
            BlockKind::Team | BlockKind::Loop => None,
        };
        let waits: Vec<_> = waits.into_iter().collect();
        let watches: Vec<_> = watches.into_iter().collect();
        plans.push(BlockPlan {
            followers: Rows::new(order.len(), &waits),
            watchers: Rows::new(order.len(), &watches),
            waits: counts,
            space: spaces[id],
            horizon: 0,
            escapes: Vec::new(),
            router,
            order,
        });
    }
    plans
}

/// Members by layer (longest path), declared order within a layer.
fn topological(members: &[NodeId], pairs: &[(NodeId, NodeId, bool)]) -> Vec<NodeId> {
    let position: HashMap<NodeId, usize> = members.iter().enumerate().map(|(at, node)| (*node, at)).collect();
    let index = |node: &NodeId| position.get(node).copied();
    let links: Vec<_> = pairs.iter().filter_map(|(from, to, _)| Some((index(from)?, index(to)?))).collect();
    let layers = crate::dependency::longest_paths(members.len(), &links, |_| 1);
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|at| (layers[*at], *at));
    order.into_iter().map(|at| members[at]).collect()
}

/// Waits that come from names: a condition that names an earlier node waits for it.
fn named(
    team: &Team,
    nodes: &[NodePlan],
    labels: &HashMap<BlockId, HashMap<String, Vec<NodeId>>>,
    spaces: &[BlockId],
) -> Vec<Vec<(u32, u32)>> {
    let mut found = vec![Vec::new(); team.blocks().len()];
    for (id, plan) in nodes.iter().enumerate() {
        let node = NodeId::from(id);
        let Some(space) = labels.get(&spaces[team.node(node).block.index()]) else { continue };
        for other in plan.uses.names.iter().filter_map(|name| space.get(name)).flatten() {
            let lifted = team.lift_pair(*other, node);
            let slot = |node: NodeId| nodes[node.index()].slot;
            found[lifted.block.index()].push((slot(lifted.from), slot(lifted.to)));
        }
    }
    found
}

/// Per node, the shared things read and written by it and by everything inside or employed by it.
fn touched(team: &Team, nodes: &[NodePlan]) -> Vec<(BTreeSet<u32>, BTreeSet<u32>)> {
    let mut touched: Vec<_> = nodes.iter().map(|plan| (plan.uses.reads.clone(), plan.uses.writes.clone())).collect();
    let add = |touched: &mut Vec<(BTreeSet<u32>, BTreeSet<u32>)>, from: NodeId, to: NodeId| {
        if touched[from.index()].0.is_empty() && touched[from.index()].1.is_empty() {
            return;
        }
        let (reads, writes) = touched[from.index()].clone();
        touched[to.index()].0.extend(reads);
        touched[to.index()].1.extend(writes);
    };
    for node in team.node_ids() {
        for employee in super::uses::employees(team, node) {
            add(&mut touched, employee, node);
        }
    }
    // Inner blocks come after outer ones, so going backwards every block is complete when it is added to its node.
    for block in team.blocks().iter().rev() {
        let Some(node) = block.node else { continue };
        debug_assert!(matches!(team.node(node).kind, NodeKind::Block(_)), "a block is stood for by a block node");
        for member in &block.members {
            add(&mut touched, *member, node);
        }
    }
    touched
}

/// Who waits for whom so that each shared thing is read and written in canonical order.
fn taking_turns(order: &[NodeId], touched: &[(BTreeSet<u32>, BTreeSet<u32>)]) -> Vec<(u32, u32)> {
    let mut last: HashMap<u32, (Option<u32>, Vec<u32>)> = HashMap::new();
    let mut waits = Vec::new();
    for (slot, member) in order.iter().enumerate() {
        let slot = slot as u32;
        let (reads, writes) = &touched[member.index()];
        for thing in reads.union(writes) {
            let (writer, readers) = last.entry(*thing).or_default();
            waits.extend(writer.map(|writer| (writer, slot)));
            if writes.contains(thing) {
                waits.extend(readers.drain(..).map(|reader| (reader, slot)));
                *writer = Some(slot);
            } else {
                readers.push(slot);
            }
        }
    }
    waits
}
