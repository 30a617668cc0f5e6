//! Every loss at a million tokens, against the time that its bytes alone take on the same threads.
//!
//! `OMP_NUM_THREADS=1 cargo bench -p marft-algorithms --bench losses` prints a table, and with `-- --json` one JSON object
//! a line. More threads: another `OMP_NUM_THREADS`. A part of a name selects rows.
//!
//! *What is timed*: the loss and, through autograd, its gradient by the log-probabilities, as a trainer asks for them; the
//! answer is dropped, so that its memory is used again. *The bound*: a loop of the widest loads that reads the columns that
//! the loss is given, once, and writes one of the gradient's size into a fresh tensor. It runs in the same pieces on the
//! same threads. The bytes of a token: 4 for each column of floats, 1 for the mask, 4 for the gradient. Before each
//! measurement 128 MiB of other memory are touched, for a trainer has just been through a whole model when it computes a
//! loss; then a loss of 64 tokens is computed, so that only the columns are out of the caches, and not libtorch. Loss and
//! bound take turns; the table has the least of all rounds, which the neighbours of a shared machine disturb least, and the
//! medians in brackets.
//!
//! On one core with AVX-512 (2.6 GHz, 1 MiB of second-level cache, a machine with other work on it) most rows lie between
//! 0.95 and 1.2; a row differs by up to a tenth from run to run. About 1.3 lie:
//!
//! - `grpo with kl`, 1.28 to 1.34: a second exponential for 4 bytes more.
//! - `orm` and `prm`, 1.2 to 1.4: an exponential, a logarithm and a division for 13 bytes.
//! - `decoupled`, 1.15 to 1.3: a second exponential too.
//!
//! These are bound by arithmetic, not by memory, and more by the length of the chain of steps that wait for one another than
//! by their number: shorter chains made `orm` and `prm` a tenth faster, while two registers at a time, which the compiler
//! does one after the other, did nothing. Fetching columns ahead by hand made every row slower. Sums must be local arrays
//! that are added to others at the end of a run: handed in or out as a struct, or added to f64 sums of all runs, they made
//! every row of three columns a tenth slower. Going over single tokens sequence by sequence, so that their weight stays in a
//! register, took the means of sequences from 1.17 to 1.4 and `grpo with kl` from 1.31 to 1.6.
//!
//! `gspo` and `tis, by sequence` must know a sum over a sequence before its first token is done. They come to the bound
//! because both looks fall on one sequence at a time, while it is near, and its number and weight stay in registers.
//!
//! Preference losses and pairwise reward models are not here: they are given one number per answer, not per token.

use std::hint::black_box;
use std::time::Instant;

use marft_algorithms::kl::{KlInLoss, kl_in_loss};
use marft_algorithms::loss::{
    Aggregation, Cispo, Dapo, Decoupled, DrGrpo, DualClip, EntropyBonus, Grpo, Gspo, PolicyBatch, PpoClip, Reinforce,
    Tis, TisMode, cispo, dapo, decoupled, dr_grpo, dual_clip, entropy_bonus, grpo, gspo, ppo_clip, reinforce, tis,
};
use marft_algorithms::reward_model::{Prm, orm_pointwise, prm};
use marft_algorithms::supervised::{SftWeights, sft};
use marft_algorithms::value::{ValueBatch, ValueCurve, ValueLossConfig, value_loss};
use marft_torch::FusedLoss;
use marft_torch::lanes::{Kernel, dispatch};
use tch::{Device, Kind, Tensor};

const TOKENS: usize = 1_000_000;
const LENGTH: usize = 500;
const PIECE: usize = 16_384;
const ROUNDS: usize = 41;
/// Larger than the last cache.
const OTHER_MEMORY: usize = 128 << 20;

struct Columns {
    new: Tensor,
    old: Vec<f32>,
    advantage: Vec<f32>,
    reference: Vec<f32>,
    importance: Vec<f32>,
    label: Vec<f32>,
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
        importance: read(&(random(0.5) + 1.0)),
        label: read(&(random(1.0) + 0.5)),
        in_loss: (0..TOKENS).map(|i| i % 5 != 0).collect(),
        lengths: vec![LENGTH; TOKENS / LENGTH],
        old: read(&old),
    }
}

/// A loss, and the columns besides the log-probabilities and the mask that it is given.
struct Row<'a> {
    name: &'static str,
    given: Vec<&'a [f32]>,
    /// The gradient as a loop needs it, or for weights without gradient what is dropped.
    run: Box<dyn Fn() + 'a>,
}

impl<'a> Row<'a> {
    fn loss(name: &'static str, c: &'a Columns, given: &[&'a [f32]], loss: impl Fn() -> Tensor + 'a) -> Self {
        let run = Box::new(move || drop(black_box(Tensor::run_backward(&[loss()], &[&c.new], false, false))));
        Self { name, given: given.to_vec(), run }
    }
}

fn rows(c: &Columns) -> Vec<Row<'_>> {
    let batch = PolicyBatch::new(&c.old, &c.advantage, &c.in_loss, &c.lengths).with_reference(&c.reference);
    let weighted = batch.weighted(&c.importance);
    let policy: &[&[f32]] = &[&c.old, &c.advantage];
    let referred: &[&[f32]] = &[&c.old, &c.advantage, &c.reference];
    let values = ValueBatch::new(&c.old, &c.advantage, &c.in_loss, &c.lengths);
    let value = move |clip, curve| {
        let config = ValueLossConfig { clip, curve, ..ValueLossConfig::default() };
        move || value_loss(&c.new, &values, &config).expect("finite").loss
    };
    let weights = move |mode| {
        let config = Tis { mode, ..Tis::default() };
        let run = move || drop(black_box(tis(&c.old, &c.reference, &c.in_loss, &c.lengths, &config).expect("finite")));
        Box::new(run) as Box<dyn Fn()>
    };
    let by_sequence = PpoClip { aggregation: Aggregation::SeqMeanTokenMean, ..PpoClip::default() };
    let penalised = Grpo { beta: 0.04, ..Grpo::default() };
    let bonus = EntropyBonus { coefficient: 0.01, ..EntropyBonus::default() };
    let token_weights = SftWeights { token: Some(&c.importance[..]), total: None };
    vec![
        Row::loss("ppo_clip", c, policy, move || ppo_clip(&c.new, &batch, &PpoClip::default()).expect("finite").loss),
        Row::loss("ppo_clip, mean of sequences", c, policy, move || {
            ppo_clip(&c.new, &batch, &by_sequence).expect("finite").loss
        }),
        Row::loss("ppo_clip, weighted", c, &[&c.old, &c.advantage, &c.importance], move || {
            ppo_clip(&c.new, &weighted, &PpoClip::default()).expect("finite").loss
        }),
        Row::loss("dual_clip", c, policy, move || {
            dual_clip(&c.new, &batch, &DualClip::default()).expect("finite").loss
        }),
        Row::loss("grpo", c, policy, move || grpo(&c.new, &batch, &Grpo::default()).expect("finite").loss),
        Row::loss("grpo with kl", c, referred, move || grpo(&c.new, &batch, &penalised).expect("finite").loss),
        Row::loss("dapo", c, policy, move || dapo(&c.new, &batch, &Dapo::default()).expect("finite").loss),
        Row::loss("dr_grpo", c, policy, move || dr_grpo(&c.new, &batch, &DrGrpo::default()).expect("finite").loss),
        Row::loss("gspo", c, policy, move || gspo(&c.new, &batch, &Gspo::default()).expect("finite").loss),
        Row::loss("cispo", c, policy, move || cispo(&c.new, &batch, &Cispo::default()).expect("finite").loss),
        Row::loss("reinforce", c, policy, move || {
            reinforce(&c.new, &batch, &Reinforce::default()).expect("finite").loss
        }),
        Row::loss("decoupled", c, referred, move || {
            decoupled(&c.new, &batch, &c.reference, &Decoupled::default()).expect("finite").loss
        }),
        Row { name: "tis, by token", given: vec![&c.reference], run: weights(TisMode::TokenTruncate) },
        Row { name: "tis, by sequence", given: vec![&c.reference], run: weights(TisMode::SequenceMask) },
        Row::loss("kl in loss", c, &[&c.reference], move || {
            let config = KlInLoss::default();
            kl_in_loss(&c.new, &c.reference, &c.in_loss, &c.lengths, None, &config).expect("finite").loss
        }),
        Row::loss("entropy bonus", c, &[], move || {
            entropy_bonus::<f32>(&c.new, &c.in_loss, &c.lengths, None, &bonus).expect("finite").loss
        }),
        Row::loss("value, clipped mse", c, policy, value(Some(0.2), ValueCurve::Mse)),
        Row::loss("value, mse", c, policy, value(None, ValueCurve::Mse)),
        Row::loss("value, clipped huber", c, policy, value(Some(0.2), ValueCurve::Huber(1.0))),
        Row::loss("value, one-sided huber", c, policy, value(Some(0.2), ValueCurve::HuberOneSided(1.0))),
        Row::loss("sft", c, &[], move || sft::<f32>(&c.new, &c.in_loss, &SftWeights::default()).expect("finite").loss),
        Row::loss("sft, weighted", c, &[&c.importance], move || {
            sft(&c.new, &c.in_loss, &token_weights).expect("finite").loss
        }),
        Row::loss("orm, pointwise", c, &[&c.label], move || orm_pointwise(&c.new, &c.label).expect("finite").loss),
        Row::loss("prm", c, &[&c.label], move || {
            prm(&c.new, &c.label, &c.in_loss, &c.lengths, &Prm::default()).expect("finite").loss
        }),
    ]
}

/// Reads everything once and writes a gradient.
struct Touch<'a> {
    new: &'a [f32],
    given: &'a [&'a [f32]],
    in_loss: &'a [bool],
    gradient: &'a mut [f32],
}

impl Kernel for Touch<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "what a kernel calls is compiled with it")]
    fn run<const LANES: usize, const FUSED: bool>(self) {
        let Self { new, given, in_loss, gradient } = self;
        let mask = |keep: bool| f32::from(u8::from(keep));
        let base = gradient.iter_mut().zip(new).zip(in_loss);
        match *given {
            [] => base.for_each(|((g, x), &m)| *g = x + mask(m)),
            [a] => base.zip(a).for_each(|(((g, x), &m), a)| *g = x + mask(m) + a),
            [a, b] => base.zip(a).zip(b).for_each(|((((g, x), &m), a), b)| *g = x + mask(m) + a + b),
            [a, b, c, ..] => {
                base.zip(a).zip(b).zip(c).for_each(|(((((g, x), &m), a), b), c)| *g = x + mask(m) + a + b + c);
            }
        }
    }
}

fn touch(c: &Columns, given: &[&[f32]]) -> Tensor {
    let ends: Vec<usize> = (1..=TOKENS.div_ceil(PIECE)).map(|piece| (piece * PIECE).min(TOKENS)).collect();
    let in_loss = &c.in_loss[..];
    let mut loss = FusedLoss::<f32>::new(&c.new).expect("a flat f32 tensor");
    loss.each_run(&ends, |index, new, gradient| {
        let range = index * PIECE..index * PIECE + new.len();
        let given: Vec<&[f32]> = given.iter().map(|column| &column[range.clone()]).collect();
        dispatch(Touch { new, given: &given, in_loss: &in_loss[range], gradient });
    })
    .expect("pieces that cover it");
    loss.finish(0.0).expect("a gradient that fits")
}

/// Milliseconds, ascending, of `ROUNDS` runs of each, in turns and with cold caches.
fn measure(runs: [&dyn Fn(); 2]) -> [Vec<f64>; 2] {
    let few = Tensor::zeros([64], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let mut other = vec![1u8; OTHER_MEMORY];
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (run, times) in runs.iter().zip(&mut times) {
            for byte in other.iter_mut().step_by(64) {
                *byte = byte.wrapping_add(1);
            }
            black_box(&other);
            let batch = PolicyBatch::new(&[0.0f32; 64], &[1.0; 64], &[true; 64], &[64]);
            let warm = ppo_clip(&few, &batch, &PpoClip::default()).expect("finite").loss;
            drop(black_box(Tensor::run_backward(&[warm], &[&few], false, false)));
            let start = Instant::now();
            run();
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times
    })
}

#[expect(clippy::print_stdout, reason = "a table is what this program is for")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let (c, threads) = (columns(), tch::get_num_threads());
    if !json {
        println!("{TOKENS} tokens, {threads} threads");
        println!("{:<28} {:>7} {:>16} {:>16} {:>6}", "loss", "B/token", "ms (median)", "bound (median)", "ratio");
    }
    for row in rows(&c) {
        if !wanted.is_empty() && !wanted.iter().any(|part| row.name.contains(part.as_str())) {
            continue;
        }
        let bytes = 4 + 4 * row.given.len() + 1 + 4;
        let [loss, bound] = measure([&row.run, &|| drop(black_box(touch(&c, &row.given)))]);
        let (name, middle, ratio) = (row.name, ROUNDS / 2, loss[0] / bound[0]);
        let [ms, bound_ms, median, bound_median] = [loss[0], bound[0], loss[middle], bound[middle]];
        if json {
            println!(
                r#"{{"loss": "{name}", "threads": {threads}, "bytes_per_token": {bytes}, "ms": {ms:.4}, "bound_ms": {bound_ms:.4}, "ratio": {ratio:.3}}}"#
            );
        } else {
            println!(
                "{name:<28} {bytes:>7} {ms:>7.3} ({median:>5.3}) {bound_ms:>8.3} ({bound_median:>5.3}) {ratio:>6.2}"
            );
        }
    }
}
