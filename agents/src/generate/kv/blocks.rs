//! Which blocks of the cache are free, and how many holders each other block has.
//!
//! Pure bookkeeping: block numbers in, block numbers out. The numbers index the tensors of every layer alike.

/// Number of one block of the cache.
pub type BlockId = u32;

/// Reference counts of a fixed number of blocks.
#[derive(Debug)]
pub struct BlockPool {
    holders: Vec<u32>,
    free: Vec<BlockId>,
}

impl BlockPool {
    /// `count` free blocks.
    pub fn new(count: usize) -> Self {
        // The lowest numbers are handed out first, so memory is touched from the front.
        Self { holders: vec![0; count], free: (0..count as BlockId).rev().collect() }
    }

    /// Blocks there are.
    pub fn capacity(&self) -> usize {
        self.holders.len()
    }

    /// Blocks nobody holds.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// A free block, with one holder from now on.
    pub fn take(&mut self) -> Option<BlockId> {
        let block = self.free.pop()?;
        self.holders[block as usize] = 1;
        Some(block)
    }

    /// One more holder.
    pub fn hold(&mut self, block: BlockId) {
        let holders = &mut self.holders[block as usize];
        debug_assert!(*holders > 0, "block {block} is free");
        *holders += 1;
    }

    /// One holder fewer; the block is free when none is left.
    pub fn release(&mut self, block: BlockId) {
        let holders = &mut self.holders[block as usize];
        debug_assert!(*holders > 0, "block {block} is free already");
        *holders -= 1;
        if *holders == 0 {
            self.free.push(block);
        }
    }

    /// Holders of a block.
    pub fn holders(&self, block: BlockId) -> u32 {
        self.holders[block as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_free_when_its_last_holder_leaves() {
        let mut pool = BlockPool::new(2);
        let (a, b) = (pool.take().unwrap(), pool.take().unwrap());
        assert_eq!((a, b, pool.take()), (0, 1, None));
        pool.hold(a);
        pool.release(a);
        assert_eq!((pool.free(), pool.holders(a)), (0, 1));
        pool.release(a);
        assert_eq!((pool.free(), pool.take()), (1, Some(a)));
    }
}
