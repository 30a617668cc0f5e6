//! Blocks, prefixes and tensors together: what the scheduler asks of the cache.

use super::blocks::{BlockId, BlockPool};
use super::prefix::{PrefixTree, Variant};
use super::store::{KvStore, block_size};
use crate::generate::request::PolicyId;

/// The key-value cache of one device.
#[derive(Debug)]
pub struct KvCache {
    /// The tensors.
    pub store: KvStore,
    pool: BlockPool,
    prefixes: PrefixTree,
}

impl KvCache {
    /// A cache over `store`, which has room for `blocks` blocks.
    pub fn new(store: KvStore, blocks: usize) -> Self {
        Self { store, pool: BlockPool::new(blocks), prefixes: PrefixTree::new(block_size()) }
    }

    /// Blocks there are.
    pub fn capacity(&self) -> usize {
        self.pool.capacity()
    }

    /// Blocks that neither a sequence nor a remembered prefix holds.
    pub fn free(&self) -> usize {
        self.pool.free()
    }

    /// Blocks of the longest known prefix of `ids`; the caller holds them.
    pub fn known(&mut self, variant: Variant, ids: &[u32]) -> Vec<BlockId> {
        self.prefixes.lookup(variant, ids, &mut self.pool)
    }

    /// Remembers the full blocks of `ids`, which lie in `blocks`.
    pub fn remember(&mut self, variant: Variant, ids: &[u32], blocks: &[BlockId]) {
        self.prefixes.insert(variant, ids, blocks, &mut self.pool);
    }

    /// Makes `blocks` long enough for `positions`, forgetting idle prefixes if need be. All or nothing.
    #[must_use]
    pub fn grow(&mut self, blocks: &mut Vec<BlockId>, positions: usize) -> bool {
        let before = blocks.len();
        while blocks.len() < positions.div_ceil(block_size()) {
            let Some(block) = self.take() else {
                self.release(&mut blocks.split_off(before));
                return false;
            };
            blocks.push(block);
        }
        true
    }

    /// Blocks for a second sequence that has the same first `positions`: whole blocks are shared, the last part is copied.
    pub fn fork(&mut self, blocks: &[BlockId], positions: usize) -> Option<Vec<BlockId>> {
        let whole = positions / block_size();
        let copy = if positions.is_multiple_of(block_size()) { None } else { Some(self.take()?) };
        let mut forked = blocks[..whole].to_vec();
        for &block in &forked {
            self.pool.hold(block);
        }
        if let Some(copy) = copy {
            self.store.copy_block(blocks[whole], copy);
            forked.push(copy);
        }
        Some(forked)
    }

    /// Lets go of `blocks`.
    pub fn release(&mut self, blocks: &mut Vec<BlockId>) {
        for block in blocks.drain(..) {
            self.pool.release(block);
        }
    }

    /// Forgets every prefix of a policy.
    pub fn forget(&mut self, policy: PolicyId) {
        self.prefixes.forget(policy, &mut self.pool);
    }

    /// Forgets every prefix of every policy.
    pub fn forget_all(&mut self) {
        for policy in self.prefixes.policies() {
            self.prefixes.forget(policy, &mut self.pool);
        }
    }

    fn take(&mut self) -> Option<BlockId> {
        loop {
            if let Some(block) = self.pool.take() {
                return Some(block);
            }
            if !self.prefixes.evict(&mut self.pool) {
                return None;
            }
        }
    }
}
