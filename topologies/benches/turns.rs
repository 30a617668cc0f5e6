//! Turns per second of the state machine alone: whole episodes with answers that cost nothing.
//!
//! `duo` is the smallest team that hears something; `debate` has replicas, rounds, parsing and a vote in each round.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use marft_topologies::turns::{Plan, Said, Task, Turns};
use marft_topologies::{Team, catalog};

/// Plays one episode; returns the number of turns.
fn episode(plan: &Arc<Plan>) -> u64 {
    let mut turns = Turns::new(plan, Task::text("How many apples are left?"));
    let mut count = 0;
    while turns.ended().is_none() {
        for turn in turns.take_ready() {
            let shown = turns.observation(turn.id, &()).expect("catalogued templates render");
            black_box(&shown);
            // Everybody disagrees, so that no debate ends early.
            let said = Said { tokens: 8, ..Said::text(format!("<answer>{}</answer>", turn.id.0)) };
            turns.spoke(turn.id, said).expect("the turn is out");
            count += 1;
        }
    }
    black_box(turns.output());
    count
}

fn turns(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turns");
    for name in ["duo", "octet", "debate", "generator-critic-refiner"] {
        let text = catalog::source(name).expect("it is in the catalog");
        let team = Team::parse(text, name).expect("catalogued teams are valid");
        let plan = Plan::new(Arc::new(team));
        group.throughput(Throughput::Elements(episode(&plan)));
        group.bench_function(name, |bencher| bencher.iter(|| episode(&plan)));
    }
    group.finish();
}

criterion_group!(benches, turns);
criterion_main!(benches);
