//! Counter-based random numbers: a token's number is a function of its key and position, not of what was drawn before.
//!
//! Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011). There is no state to
//! keep, order or restore, so scheduling cannot leak into a result.

use super::request::SeedKey;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Ten rounds of Philox4x32.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let [low, high] = [0, 1].map(|i| u64::from(MULTIPLIERS[i]) * u64::from(counter[2 * i]));
        counter = [
            (high >> 32) as u32 ^ counter[1] ^ key[0],
            high as u32,
            (low >> 32) as u32 ^ counter[3] ^ key[1],
            low as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// A uniform number in [0, 1) with 24 bits for the token at `position` (counted from the start of the answer).
pub fn uniform(key: SeedKey, position: u64) -> f32 {
    let (seed, request) = (key.seed, key.request);
    let counter = [position as u32, (position >> 32) as u32, request as u32, (request >> 32) as u32];
    let word = philox(counter, [seed as u32, (seed >> 32) as u32])[0];
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of Random123 1.14.0, `tests/kat_vectors`, lines `philox4x32 10`.
    #[test]
    fn philox_gives_the_published_vectors() {
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, want) in cases {
            assert_eq!(philox(counter, key), want);
        }
    }

    #[test]
    fn uniforms_fill_the_unit_interval_and_differ_by_every_part_of_the_key() {
        let key = SeedKey { seed: 7, request: 9 };
        let draws: Vec<f32> = (0..10_000).map(|position| uniform(key, position)).collect();
        assert!(draws.iter().all(|u| (0.0..1.0).contains(u)));
        let mean = draws.iter().sum::<f32>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        let others = [
            uniform(SeedKey { seed: 7 + (1 << 40), ..key }, 0),
            uniform(SeedKey { request: 9 + (1 << 40), ..key }, 0),
            uniform(key, 1 << 40),
        ];
        assert!(others.iter().all(|&u| u != draws[0]), "{others:?} {}", draws[0]);
    }
}
