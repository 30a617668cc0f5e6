//! Keys: where in an episode something was said, independent of when.
//!
//! Two schedules of the same episode create turns in different orders; their keys are the same. Whatever must not depend
//! on the schedule (random streams, the order of a transcript, ties) is derived from keys.

use std::fmt;

/// A path: the step, then round, position and item of each block on the way in, then call and attempt.
///
/// Keys order as the sequential schedule would speak: a node's key is larger than those of all it has heard.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<[u32]>);

impl Key {
    pub(super) fn new(prefix: &[u32], rest: &[u32]) -> Self {
        Self([prefix, rest].concat().into())
    }

    /// The numbers of the path.
    pub fn path(&self) -> &[u32] {
        &self.0
    }

    /// A 64-bit stream number for this place under `seed`: FNV-1a over the path, finished by SplitMix64.
    pub fn stream(&self, seed: u64) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in self.0.iter().flat_map(|part| part.to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let mut mixed = (seed ^ hash).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            write!(formatter, "{dot}{part}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn streams_differ_by_place_and_by_seed() {
        let key = |path: &[u32]| Key::new(path, &[0, 0]);
        assert_ne!(key(&[0, 0, 1]).stream(7), key(&[0, 1, 0]).stream(7));
        assert_ne!(key(&[0, 0, 1]).stream(7), key(&[0, 0, 1]).stream(8));
        assert_eq!(key(&[0, 0, 1]).to_string(), "0.0.1.0.0");
    }
}
