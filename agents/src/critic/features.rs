//! Features of the frozen base, kept between passes.
//!
//! A frozen base gives the same rows for the same tokens every time. Epochs over a batch, and episodes that share a history,
//! then need no pass of their own for the critic.

use std::collections::HashMap;
use std::collections::VecDeque;

use sha2::{Digest, Sha256};
use tch::Tensor;

/// Bytes that features of one device may take where nothing else is asked for.
pub const FEATURE_BYTES: u64 = 256 << 20;

/// What makes two requests for features the same for a frozen base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FeatureKey([u8; 32]);

impl FeatureKey {
    /// The key of token ids, of those before which features are asked for, and of the tree they form, if any.
    pub fn new(ids: &[u32], scored: &[u32], parents: Option<&[Option<u32>]>) -> Self {
        let mut hash = Sha256::new();
        hash.update((ids.len() as u64).to_le_bytes());
        for number in ids.iter().chain(scored) {
            hash.update(number.to_le_bytes());
        }
        for parent in parents.into_iter().flatten() {
            hash.update(parent.map_or(u64::MAX, u64::from).to_le_bytes());
        }
        Self(hash.finalize().into())
    }
}

/// Hidden rows by sequence, the oldest given up first when the budget is spent.
#[derive(Debug)]
pub struct FeatureCache {
    budget: u64,
    used: u64,
    rows: HashMap<FeatureKey, Tensor>,
    order: VecDeque<FeatureKey>,
}

impl FeatureCache {
    /// A cache of at most `budget` bytes; 0 keeps nothing.
    pub fn new(budget: u64) -> Self {
        Self { budget, used: 0, rows: HashMap::new(), order: VecDeque::new() }
    }

    /// The rows \[m, hidden\] kept for a request.
    pub fn get(&self, key: &FeatureKey) -> Option<Tensor> {
        self.rows.get(key).map(Tensor::shallow_clone)
    }

    /// Keeps rows, making room. Rows larger than the whole budget are not kept.
    pub fn put(&mut self, key: FeatureKey, rows: &Tensor) {
        let size = bytes(rows);
        if size > self.budget || self.rows.contains_key(&key) {
            return;
        }
        while self.used + size > self.budget {
            let Some(oldest) = self.order.pop_front() else { break };
            self.used -= self.rows.remove(&oldest).map_or(0, |rows| bytes(&rows));
        }
        // A copy: a view would keep the rows of its whole pass alive.
        self.rows.insert(key, rows.detach().copy());
        self.order.push_back(key);
        self.used += size;
    }

    /// Forgets everything, as after a change of the base.
    pub fn clear(&mut self) {
        *self = Self::new(self.budget);
    }

    /// Bytes kept.
    pub fn used(&self) -> u64 {
        self.used
    }
}

fn bytes(rows: &Tensor) -> u64 {
    (rows.numel() * rows.kind().elt_size_in_bytes()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn the_oldest_rows_make_room() {
        let rows = |value: f64| Tensor::full([2, 4], value, (Kind::Float, Device::Cpu));
        let key = |id| FeatureKey::new(&[id], &[], None);
        let mut cache = FeatureCache::new(64);
        cache.put(key(1), &rows(1.0));
        cache.put(key(2), &rows(2.0));
        cache.put(key(3), &rows(3.0));
        assert!(cache.get(&key(1)).is_none());
        assert!(cache.get(&key(3)).unwrap().equal(&rows(3.0)));
        assert_eq!(cache.used(), 64);
        cache.put(key(4), &Tensor::zeros([100, 4], (Kind::Float, Device::Cpu)));
        assert!(cache.get(&key(4)).is_none() && cache.get(&key(2)).is_some());
        cache.clear();
        assert!(cache.get(&key(3)).is_none());
    }

    #[test]
    fn a_tree_is_not_its_tokens_in_a_row() {
        let parents = [None, Some(0), Some(0)];
        let plain = FeatureKey::new(&[1, 2, 3], &[], None);
        assert_ne!(plain, FeatureKey::new(&[1, 2, 3], &[], Some(&parents)));
        assert_ne!(plain, FeatureKey::new(&[1, 2], &[3], None));
    }
}
