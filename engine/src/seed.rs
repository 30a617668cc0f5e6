//! Seeds as a tree: run → task → episode → agent → turn → call. A random number depends on its path and on nothing else,
//! so no result depends on scheduling, on what shares a batch, or on the number of threads.

use marft_agents::generate::SeedKey;

/// One node of the seed tree.
///
/// ```
/// use marft_engine::seed::Seed;
///
/// let run = Seed::of_run(7);
/// let turn = run.child("episode", 3).child("turn", 1);
/// assert_eq!(turn, Seed::of_run(7).child("episode", 3).child("turn", 1));
/// assert_ne!(turn, run.child("episode", 1).child("turn", 3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed {
    run: u64,
    path: u64,
}

impl Seed {
    /// The root of a run.
    pub const fn of_run(seed: u64) -> Self {
        Self { run: seed, path: 0x9e37_79b9_7f4a_7c15 }
    }

    /// The child with this label and index.
    #[must_use]
    pub fn child(self, label: &str, index: u64) -> Self {
        let mut path = mix(self.path ^ index.wrapping_mul(0xd134_2543_de82_ef95));
        for chunk in label.as_bytes().chunks(8) {
            let mut word = [0_u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            path = mix(path ^ u64::from_le_bytes(word));
        }
        Self { run: self.run, path: mix(path ^ label.len() as u64) }
    }

    /// The key of a generation request at this node.
    pub const fn request(self) -> SeedKey {
        SeedKey { seed: self.run, request: self.path }
    }

    /// The `counter`-th random number of this node, uniform over all 64-bit integers.
    pub fn draw(self, counter: u64) -> u64 {
        mix(mix(self.path ^ self.run.rotate_left(32)).wrapping_add(counter.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            ^ self.run)
    }

    /// A permutation of `0..length`: Fisher–Yates over this node's numbers.
    pub fn permutation(self, length: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..length).collect();
        for at in (1..length).rev() {
            // the bias of the product is below length / 2^64
            let other = (u128::from(self.draw(at as u64)) * (at as u128 + 1)) >> 64;
            order.swap(at, other as usize);
        }
        order
    }
}

/// The finaliser of SplitMix64: a bijection in which every input bit flips each output bit about half the time.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn paths_do_not_collide() {
        let run = Seed::of_run(1);
        let mut seen = HashSet::new();
        for task in 0..100 {
            for episode in 0..100 {
                for label in ["turn", "call", "turn\0"] {
                    assert!(seen.insert(run.child("task", task).child("episode", episode).child(label, 0)));
                }
            }
        }
    }

    #[test]
    fn a_permutation_holds_everything_once_and_differs_by_seed() {
        let order = Seed::of_run(5).child("epoch", 0).permutation(1000);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_ne!(order, Seed::of_run(5).child("epoch", 1).permutation(1000));
        assert_ne!(order, sorted);
        assert_eq!(Seed::of_run(5).permutation(0), Vec::<usize>::new());
    }

    #[test]
    fn draws_are_uniform_enough() {
        let seed = Seed::of_run(11);
        let mean = (0..10_000).map(|i| seed.draw(i) as f64 / u64::MAX as f64).sum::<f64>() / 10_000.0;
        // standard error 0.0029
        assert!((mean - 0.5).abs() < 0.012, "{mean}");
    }
}
