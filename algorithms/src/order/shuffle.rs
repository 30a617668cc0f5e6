//! A seeded permutation that never changes between versions or machines.

/// The numbers `0..n` in an order that depends on `seed` alone: Fisher-Yates driven by SplitMix64.
pub(super) fn permutation(n: usize, seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, below(&mut state, last as u64 + 1) as usize);
    }
    order
}

/// A number below `bound`, without the bias of a remainder (Lemire 2019).
fn below(state: &mut u64, bound: u64) -> u64 {
    loop {
        let product = u128::from(split_mix(state)) * u128::from(bound);
        if product as u64 >= bound.wrapping_neg() % bound {
            return (product >> 64) as u64;
        }
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_split_mix() {
        // First three outputs for seed 0 of the public-domain splitmix64.c of S. Vigna.
        let mut state = 0;
        let got: Vec<u64> = (0..3).map(|_| split_mix(&mut state)).collect();
        assert_eq!(got, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    #[test]
    fn every_order_of_three_comes_equally_often() {
        let mut seen = std::collections::BTreeMap::new();
        for seed in 0..6000 {
            *seen.entry(permutation(3, seed)).or_insert(0) += 1;
        }
        // 1000 each; five standard deviations are 144.
        assert_eq!(seen.len(), 6);
        assert!(seen.values().all(|&count| (856..1144).contains(&count)), "{seen:?}");
    }
}
