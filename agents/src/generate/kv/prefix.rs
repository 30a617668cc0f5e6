//! A radix tree of prompts over blocks of the cache: what has been read once is not read again.
//!
//! An edge is one full block of token ids, so a node stands for a prefix and holds the block with its last positions. The root
//! edge is the policy with its version, since adapters change keys and values: an update of a policy makes its old prefixes
//! unreachable. The tree is one holder of each of its blocks; a leaf that nobody else holds can be evicted, the least recently
//! used first.

use std::collections::{BTreeMap, BTreeSet};

use super::blocks::{BlockId, BlockPool};
use crate::generate::request::PolicyId;

/// A policy at one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variant {
    /// The policy.
    pub policy: PolicyId,
    /// Its version.
    pub version: u64,
}

type NodeId = usize;

#[derive(Debug)]
struct Node {
    parent: Option<NodeId>,
    edge: Box<[u32]>,
    children: BTreeMap<Box<[u32]>, NodeId>,
    block: BlockId,
    used: u64,
    variant: Variant,
}

/// The prefixes in the cache.
#[derive(Debug)]
pub struct PrefixTree {
    block_size: usize,
    roots: BTreeMap<Variant, BTreeMap<Box<[u32]>, NodeId>>,
    nodes: Vec<Option<Node>>,
    vacant: Vec<NodeId>,
    /// Leaves by last use, oldest first.
    leaves: BTreeSet<(u64, NodeId)>,
    clock: u64,
}

impl PrefixTree {
    /// An empty tree over blocks of `block_size` positions.
    pub fn new(block_size: usize) -> Self {
        let (roots, leaves) = (BTreeMap::new(), BTreeSet::new());
        Self { block_size, roots, nodes: Vec::new(), vacant: Vec::new(), leaves, clock: 0 }
    }

    /// Blocks held by the tree.
    pub fn blocks(&self) -> usize {
        self.nodes.len() - self.vacant.len()
    }

    /// The blocks of the longest known prefix of `ids`, each with one more holder: the caller's.
    pub fn lookup(&mut self, variant: Variant, ids: &[u32], pool: &mut BlockPool) -> Vec<BlockId> {
        self.clock += 1;
        let (mut blocks, mut at) = (Vec::new(), None);
        for edge in ids.chunks_exact(self.block_size) {
            let Some(next) = self.child(variant, at, edge) else { break };
            self.touch(next);
            let block = self.node(next).block;
            pool.hold(block);
            blocks.push(block);
            at = Some(next);
        }
        blocks
    }

    /// Remembers the full blocks of `ids`. `blocks` are those that hold them, and stay with their holder too. Where a prefix is
    /// known already its block is kept and the given one is not taken.
    pub fn insert(&mut self, variant: Variant, ids: &[u32], blocks: &[BlockId], pool: &mut BlockPool) {
        self.clock += 1;
        let mut at = None;
        for (edge, &block) in ids.chunks_exact(self.block_size).zip(blocks) {
            let next = if let Some(known) = self.child(variant, at, edge) {
                known
            } else {
                pool.hold(block);
                self.add(variant, at, edge, block)
            };
            self.touch(next);
            at = Some(next);
        }
    }

    /// Gives up the least recently used leaf that nobody else holds; false if every block is in use.
    pub fn evict(&mut self, pool: &mut BlockPool) -> bool {
        let idle = self.leaves.iter().map(|leaf| leaf.1).find(|&leaf| pool.holders(self.node(leaf).block) == 1);
        idle.is_some_and(|leaf| {
            self.remove_leaf(leaf, pool);
            true
        })
    }

    /// Forgets every prefix of a policy, in all versions.
    pub fn forget(&mut self, policy: PolicyId, pool: &mut BlockPool) {
        let gone: Vec<Variant> = self.roots.keys().filter(|variant| variant.policy == policy).copied().collect();
        for variant in gone {
            let mut stack: Vec<NodeId> =
                self.roots.remove(&variant).into_iter().flatten().map(|(_, node)| node).collect();
            while let Some(id) = stack.pop() {
                let node = self.nodes[id].take().expect("a child exists");
                stack.extend(node.children.into_values());
                self.leaves.remove(&(node.used, id));
                self.vacant.push(id);
                pool.release(node.block);
            }
        }
    }

    /// The policies that have prefixes here.
    pub fn policies(&self) -> BTreeSet<PolicyId> {
        self.roots.keys().map(|variant| variant.policy).collect()
    }

    fn node(&self, id: NodeId) -> &Node {
        self.nodes[id].as_ref().expect("ids of removed nodes are not kept")
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes[id].as_mut().expect("ids of removed nodes are not kept")
    }

    fn child(&self, variant: Variant, parent: Option<NodeId>, edge: &[u32]) -> Option<NodeId> {
        let children = match parent {
            Some(parent) => &self.node(parent).children,
            None => self.roots.get(&variant)?,
        };
        children.get(edge).copied()
    }

    fn add(&mut self, variant: Variant, parent: Option<NodeId>, edge: &[u32], block: BlockId) -> NodeId {
        let node = Node { parent, edge: edge.into(), children: BTreeMap::new(), block, used: self.clock, variant };
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            self.nodes.len() - 1
        });
        self.nodes[id] = Some(node);
        self.leaves.insert((self.clock, id));
        if let Some(parent) = parent {
            let used = self.node(parent).used;
            self.leaves.remove(&(used, parent));
            self.node_mut(parent).children.insert(edge.into(), id);
        } else {
            self.roots.entry(variant).or_default().insert(edge.into(), id);
        }
        id
    }

    fn touch(&mut self, id: NodeId) {
        let clock = self.clock;
        let before = self.node(id).used;
        if self.leaves.remove(&(before, id)) {
            self.leaves.insert((clock, id));
        }
        self.node_mut(id).used = clock;
    }

    fn remove_leaf(&mut self, id: NodeId, pool: &mut BlockPool) {
        let node = self.nodes[id].take().expect("a leaf exists");
        self.leaves.remove(&(node.used, id));
        self.vacant.push(id);
        pool.release(node.block);
        if let Some(parent) = node.parent {
            let parent_node = self.node_mut(parent);
            parent_node.children.remove(&node.edge);
            if parent_node.children.is_empty() {
                let used = parent_node.used;
                self.leaves.insert((used, parent));
            }
        } else if let Some(root) = self.roots.get_mut(&node.variant) {
            root.remove(&node.edge);
            if root.is_empty() {
                self.roots.remove(&node.variant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: Variant = Variant { policy: PolicyId(0), version: 0 };

    /// Reads `ids` as a request would: reuses what is known, takes blocks for the rest, remembers, lets go.
    fn read(tree: &mut PrefixTree, pool: &mut BlockPool, variant: Variant, ids: &[u32]) -> usize {
        let mut blocks = tree.lookup(variant, ids, pool);
        let known = blocks.len();
        while blocks.len() < ids.len().div_ceil(4) {
            match pool.take() {
                Some(block) => blocks.push(block),
                None => assert!(tree.evict(pool), "nothing is in use but this request"),
            }
        }
        tree.insert(variant, ids, &blocks, pool);
        for block in blocks {
            pool.release(block);
        }
        known
    }

    #[test]
    fn a_prefix_is_known_by_whole_blocks_and_by_policy_and_version() {
        let (mut tree, mut pool) = (PrefixTree::new(4), BlockPool::new(16));
        let ids: Vec<u32> = (0..10).collect();
        assert_eq!(read(&mut tree, &mut pool, A, &ids), 0);
        assert_eq!((tree.blocks(), pool.free()), (2, 14));
        assert_eq!(read(&mut tree, &mut pool, A, &ids), 2);
        assert_eq!(read(&mut tree, &mut pool, A, &[0, 1, 2, 3, 9, 9, 9, 9]), 1);
        assert_eq!(read(&mut tree, &mut pool, Variant { version: 1, ..A }, &ids), 0);
        assert_eq!(read(&mut tree, &mut pool, Variant { policy: PolicyId(1), ..A }, &ids), 0);
        tree.forget(PolicyId(0), &mut pool);
        assert_eq!(tree.blocks(), 2);
        assert_eq!(read(&mut tree, &mut pool, Variant { policy: PolicyId(1), ..A }, &ids), 2);
    }

    #[test]
    fn the_least_recently_used_leaf_goes_first_and_never_one_in_use() {
        let (mut tree, mut pool) = (PrefixTree::new(4), BlockPool::new(4));
        let [a, b] = [[1; 8], [2; 8]];
        read(&mut tree, &mut pool, A, &a);
        read(&mut tree, &mut pool, A, &b);
        let held = tree.lookup(A, &a[..4], &mut pool);
        assert!(tree.evict(&mut pool));
        assert_eq!(tree.lookup(A, &a, &mut pool).len(), 1, "the end of a was oldest, its start is held");
        assert!(tree.evict(&mut pool) && tree.evict(&mut pool) && !tree.evict(&mut pool));
        assert_eq!((tree.blocks(), held.len()), (1, 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_block_is_lost_or_held_twice(prompts in prop::collection::vec((0u32..3, prop::collection::vec(0u32..2, 1..30)), 1..40)) {
            let (mut tree, mut pool) = (PrefixTree::new(4), BlockPool::new(12));
            for (policy, ids) in prompts {
                read(&mut tree, &mut pool, Variant { policy: PolicyId(policy), version: 0 }, &ids);
                prop_assert_eq!(tree.blocks() + pool.free(), 12);
            }
            for policy in 0..3 {
                tree.forget(PolicyId(policy), &mut pool);
            }
            prop_assert_eq!((tree.blocks(), pool.free()), (0, 12));
        }
    }
}
