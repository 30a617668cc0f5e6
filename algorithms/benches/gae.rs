//! GAE over long chains: the time must grow linearly, and ten million elements take less than 60 ms on one core.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use marft_algorithms::advantage::gae::{Gae, GaeConfig, gae, gae_into};
use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord, TurnIds, TurnRecord};

/// `elements` tokens in episodes of two steps with two agents, 256 tokens a turn, of which 32 are observations.
fn chain(elements: usize) -> Chain<f32> {
    let turn = |episode: u32, at: u32| TurnRecord {
        ids: TurnIds { episode, step: at / 2, agent: at % 2, ..TurnIds::default() },
        logp: vec![-0.5; 256],
        in_loss: (0..256).map(|i| i >= 32).collect(),
        reward: f32::from(u8::from(at == 3)),
    };
    let episodes = (0..elements.div_ceil(1024) as u32)
        .map(|episode| EpisodeRecord { turns: (0..4).map(|at| turn(episode, at)).collect(), close: Close::End });
    let mut chain = Chain::from_episodes(episodes).expect("a proper chain");
    let values = (0..chain.len()).map(|i| (i % 97) as f32 / 97.0).collect();
    chain.set_values(values).expect("one value per element");
    chain
}

/// `reused`: into the buffers of the batch before, as in training. `fresh`: into new memory, whose pages the system must
/// hand over first.
fn bench(criterion: &mut Criterion) {
    let config = GaeConfig::default();
    let mut group = criterion.benchmark_group("gae");
    group.sample_size(20);
    for elements in [100_000, 1_000_000, 10_000_000] {
        let chain = chain(elements);
        group.throughput(Throughput::Elements(chain.len() as u64));
        group.bench_with_input(BenchmarkId::new("reused", elements), &chain, |bencher, chain| {
            let mut out = Gae::default();
            bencher.iter(|| gae_into(black_box(chain), &config, &mut out));
        });
        group.bench_with_input(BenchmarkId::new("fresh", elements), &chain, |bencher, chain| {
            bencher.iter(|| gae(black_box(chain), &config));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
