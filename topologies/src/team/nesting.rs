//! Blocks inside blocks: where an edge between distant nodes holds things up, and what a block puts out by default.

use super::{BlockId, BlockKind, Edge, NodeId, NodeKind, Team};

/// An edge seen from the innermost block around both its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifted {
    /// That block.
    pub block: BlockId,
    /// Its member that speaks, or contains who speaks.
    pub from: NodeId,
    /// Its member that hears, or contains who hears. Equal to `from` when a node hears the block it is in.
    pub to: NodeId,
}

impl Team {
    /// Lifts an edge to the innermost block around both ends.
    pub fn lift(&self, edge: &Edge) -> Lifted {
        self.lift_pair(edge.from, edge.to)
    }

    /// Lifts a pair of nodes to the innermost block around both.
    pub(crate) fn lift_pair(&self, mut from: NodeId, mut to: NodeId) -> Lifted {
        let (mut above_from, mut above_to) = (self.depth(from), self.depth(to));
        while self.node(from).block != self.node(to).block {
            // The deeper end climbs; at equal depth both do. Every chain ends in the root.
            let (climb_from, climb_to) = (above_from >= above_to, above_to >= above_from);
            if climb_from {
                from = self.block(self.node(from).block).node.unwrap_or(from);
                above_from -= 1;
            }
            if climb_to {
                to = self.block(self.node(to).block).node.unwrap_or(to);
                above_to -= 1;
            }
        }
        Lifted { block: self.node(from).block, from, to }
    }

    /// Number of blocks around a node beside the root.
    fn depth(&self, node: NodeId) -> usize {
        let mut block = self.node(node).block;
        let mut depth = 0;
        while let Some(outer) = self.block(block).node {
            block = self.node(outer).block;
            depth += 1;
        }
        depth
    }

    /// Numbers blocks so that each comes after the one around it, and gives those without a declared output the members
    /// nobody listens to.
    pub(crate) fn settle_blocks(&mut self) {
        self.sort_blocks();
        self.default_outputs();
    }

    fn sort_blocks(&mut self) {
        let mut inside: Vec<Vec<BlockId>> = vec![Vec::new(); self.blocks.len()];
        for (index, block) in self.blocks.iter().enumerate() {
            if let Some(node) = block.node {
                inside[self.node(node).block.index()].push(BlockId::from(index));
            }
        }
        let mut order = Vec::with_capacity(self.blocks.len());
        order.push(Self::ROOT);
        let mut next = 0;
        while let Some(block) = order.get(next).copied() {
            order.append(&mut inside[block.index()]);
            next += 1;
        }
        let mut renumbered = vec![Self::ROOT; self.blocks.len()];
        for (new, old) in order.iter().enumerate() {
            renumbered[old.index()] = BlockId::from(new);
        }
        for node in &mut self.nodes {
            node.block = renumbered[node.block.index()];
            if let NodeKind::Block(block) = &mut node.kind {
                *block = renumbered[block.index()];
            }
        }
        let mut blocks: Vec<_> = std::mem::take(&mut self.blocks).into_iter().map(Some).collect();
        self.blocks = order.iter().filter_map(|old| blocks[old.index()].take()).collect();
    }

    fn default_outputs(&mut self) {
        let mut heard = vec![false; self.nodes.len()];
        for edge in self.edges.iter().filter(|edge| edge.delay == 0) {
            heard[self.lift(edge).from.index()] = true;
        }
        for index in 0..self.blocks.len() {
            if self.blocks[index].output.is_empty() && !matches!(self.blocks[index].kind, BlockKind::Routed(_)) {
                let silent = self.blocks[index].members.iter().copied().filter(|member| !heard[member.index()]);
                self.blocks[index].output = silent.collect();
            }
        }
    }
}
