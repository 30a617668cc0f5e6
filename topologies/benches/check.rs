//! Checking grows linearly: 10³, 10⁴ and 10⁵ edges, ten per agent.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use marft_topologies::check::check;

/// A layered team: every agent hears ten of those before it.
fn team(edges: usize) -> String {
    let agents = edges / 10;
    let mut text = String::from("[team]\nname = \"large\"\n");
    for agent in 0..agents {
        let heard = (1..=10).filter_map(|back| agent.checked_sub(back * 7)).map(|heard| format!(", \"agent{heard}\""));
        let heard: String = heard.collect();
        writeln!(text, "[agents.agent{agent}]\nrole = \"Agent {agent} of many.\"\nsees = [\"task\"{heard}]")
            .expect("a string takes all");
    }
    text
}

fn checking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check");
    group.sample_size(10);
    for edges in [1_000, 10_000, 100_000] {
        let text = team(edges);
        let report = check(&text, "large.toml");
        assert!(report.is_ok(), "{}", report.report());
        group.throughput(Throughput::Elements(edges as u64));
        group.bench_with_input(BenchmarkId::from_parameter(edges), &text, |bencher, text| {
            bencher.iter(|| check(black_box(text), "large.toml"));
        });
    }
    group.finish();
}

criterion_group!(benches, checking);
criterion_main!(benches);
