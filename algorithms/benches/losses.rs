//! Every policy loss at a million tokens, against the time it takes to touch the same bytes once.
//!
//! `touch` reads the four columns (13 bytes a token) and writes a gradient (4 bytes): the memory-bound lower limit.
//! `value` is the loss alone, `backward` hands its gradient to autograd as training does. Run one thread:
//! `OMP_NUM_THREADS=1`.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use marft_algorithms::loss::{
    Cispo, Dapo, Decoupled, DrGrpo, DualClip, Grpo, Gspo, PolicyBatch, PpoClip, Reinforce, cispo, dapo, decoupled,
    dr_grpo, dual_clip, grpo, gspo, ppo_clip, reinforce,
};
use marft_algorithms::value::{ValueBatch, ValueLossConfig, value_loss};
use tch::{Device, Kind, Tensor};

const TOKENS: usize = 1_000_000;

struct Columns {
    new: Tensor,
    old: Vec<f32>,
    advantage: Vec<f32>,
    reference: Vec<f32>,
    in_loss: Vec<bool>,
    lengths: Vec<usize>,
}

fn columns() -> Columns {
    tch::manual_seed(1);
    let random = |scale: f64| (Tensor::rand([TOKENS as i64], (Kind::Float, Device::Cpu)) - 0.5) * scale;
    let old = random(6.0);
    let read = |tensor: &Tensor| Vec::<f32>::try_from(tensor).expect("a flat f32 tensor");
    Columns {
        new: (&old + random(0.6)).set_requires_grad(true),
        advantage: read(&random(2.0)),
        reference: read(&(&old + random(0.4))),
        in_loss: (0..TOKENS).map(|i| i % 5 != 0).collect(),
        lengths: vec![500; TOKENS / 500],
        old: read(&old),
    }
}

fn touch(new: &[f32], old: &[f32], advantage: &[f32], in_loss: &[bool], gradient: &mut [f32]) {
    for ((((g, n), o), a), m) in gradient.iter_mut().zip(new).zip(old).zip(advantage).zip(in_loss) {
        *g = n + o + a + f32::from(u8::from(*m));
    }
}

fn losses(criterion: &mut Criterion) {
    let c = columns();
    let batch = PolicyBatch::new(&c.old, &c.advantage, &c.in_loss, &c.lengths).with_reference(&c.reference);
    let mut group = criterion.benchmark_group("losses_1m");
    group.sample_size(20);
    let new: Vec<f32> = Vec::try_from(c.new.detach()).expect("a flat f32 tensor");
    let mut gradient = vec![0.0; TOKENS];
    group.bench_function("touch", |b| {
        b.iter(|| touch(black_box(&new), &c.old, &c.advantage, &c.in_loss, black_box(&mut gradient)));
    });
    let kl = Grpo { beta: 0.04, ..Grpo::default() };
    let runs: [(&str, &dyn Fn() -> Tensor); 10] = [
        ("ppo_clip", &|| ppo_clip(&c.new, &batch, &PpoClip::default()).expect("finite").loss),
        ("dual_clip", &|| dual_clip(&c.new, &batch, &DualClip::default()).expect("finite").loss),
        ("grpo", &|| grpo(&c.new, &batch, &Grpo::default()).expect("finite").loss),
        ("grpo_with_kl", &|| grpo(&c.new, &batch, &kl).expect("finite").loss),
        ("dapo", &|| dapo(&c.new, &batch, &Dapo::default()).expect("finite").loss),
        ("dr_grpo", &|| dr_grpo(&c.new, &batch, &DrGrpo::default()).expect("finite").loss),
        ("gspo", &|| gspo(&c.new, &batch, &Gspo::default()).expect("finite").loss),
        ("cispo", &|| cispo(&c.new, &batch, &Cispo::default()).expect("finite").loss),
        ("reinforce", &|| reinforce(&c.new, &batch, &Reinforce::default()).expect("finite").loss),
        ("decoupled", &|| decoupled(&c.new, &batch, &c.reference, &Decoupled::default()).expect("finite").loss),
    ];
    for (name, run) in runs {
        group.bench_function(format!("{name}/value"), |b| b.iter(run));
        group.bench_function(format!("{name}/backward"), |b| {
            b.iter(|| Tensor::run_backward(&[run()], &[&c.new], false, false));
        });
    }
    group.bench_function("ppo_clip/chain_of_tensor_operations", |b| b.iter(|| chain(&c)));
    let values = ValueBatch::new(&c.old, &c.advantage, &c.in_loss, &c.lengths);
    group.bench_function("value_loss/value", |b| {
        b.iter_batched(
            || (),
            |()| value_loss(&c.new, &values, &ValueLossConfig::default()).expect("finite").loss,
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// The same PPO loss with gradient and the same statistics, written as one would in a tensor library.
fn chain(c: &Columns) -> Vec<Tensor> {
    let (old, advantage) = (Tensor::from_slice(&c.old), Tensor::from_slice(&c.advantage));
    let keep = Tensor::from_slice(&c.in_loss).to_kind(Kind::Float);
    let log_ratio = &c.new - old;
    let ratio = log_ratio.exp();
    let tokens = keep.sum(Kind::Float);
    let terms = (-&ratio * &advantage).maximum(&(-ratio.clamp(0.8, 1.2) * &advantage));
    let loss = (terms * &keep).sum(Kind::Float) / &tokens;
    let detached = ratio.detach();
    let kl = ((&detached - 1.0 - log_ratio.detach()) * &keep).sum(Kind::Float) / &tokens;
    let low = (detached.lt(0.8).logical_and(&advantage.lt(0.0)) * &keep).sum(Kind::Float);
    let high = (detached.gt(1.2).logical_and(&advantage.gt(0.0)) * &keep).sum(Kind::Float);
    let mut results = Tensor::run_backward(&[loss], &[&c.new], false, false);
    results.extend([kl, low, high]);
    results
}

criterion_group!(benches, losses);
criterion_main!(benches);
