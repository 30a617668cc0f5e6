//! Generation against the clock, and against the bound that its own linear layers set.
//!
//! The work: groups of samples that share a prompt, over several policies with an adapter each, all requested at once and
//! decoded to a fixed length through a device thread, as the engine does it. The bound: the plain linear layers of the base at
//! exactly the pass sizes that ran, and nothing else: no attention, no norms, no adapters, no sampling. Both are timed in turn
//! in one process, so their ratio says how much of the time the engine spends on what cannot be avoided.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crossbeam::channel::bounded;
use marft_torch::GradMode;
use serde::Serialize;
use tch::Tensor;

use super::{
    GenerateError, GenerateRequest, Generator, GeneratorOptions, GeneratorStats, PassShape, Phases, PolicyId, Sampling,
    SeedKey, TokenBytes,
};
use crate::device::{Alone, Device, DeviceError, DeviceHandle, DeviceThread, Generation};
use crate::lora::LoraConfig;
use crate::model::{Decoder, ModelConfig, ModelError, Placement, Projection, random};
use crate::train::{PolicySpec, PolicyTable, TrainError};

/// Requests that may wait for the device.
const QUEUE: usize = 4096;

/// The work of a bench.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchOptions {
    /// A `random:` shape.
    pub model: String,
    /// How it is placed.
    pub placement: Placement,
    /// Policies, each with an adapter; none for the base alone.
    pub adapters: usize,
    /// Tokens in each prompt.
    pub prompt_tokens: usize,
    /// Tokens sampled by each request.
    pub new_tokens: usize,
    /// Samples of each prompt.
    pub group: usize,
    /// How often work and bound are timed in turn; the median counts.
    pub repeats: usize,
}

/// What a bench found for one number of rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchResult {
    /// Concurrent requests.
    pub rows: usize,
    /// Policies with an adapter.
    pub adapters: usize,
    /// Sampled tokens a second.
    pub tokens_per_s: f64,
    /// Sampled tokens a second if the plain linear layers of the same passes were all there is.
    pub bound_tokens_per_s: f64,
    /// The first over the second.
    pub bound_ratio: f64,
    /// Milliseconds of one run by phase.
    pub phases_ms: BTreeMap<&'static str, f64>,
}

/// Why a bench gave no result.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The model could not be made.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A policy could not be made.
    #[error(transparent)]
    Policy(#[from] TrainError),
    /// The device thread failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A request failed.
    #[error(transparent)]
    Generate(#[from] GenerateError),
}

/// A device with the policies of a bench.
#[derive(Debug)]
pub struct Bench {
    options: BenchOptions,
    thread: DeviceThread<PolicyTable>,
    config: ModelConfig,
}

impl Bench {
    /// Makes the model and its adapters.
    pub fn new(options: BenchOptions) -> Result<Self, BenchError> {
        let (config, seed) = random::parse(&options.model)?;
        let (shape, placement, adapters) = (config.clone(), options.placement, options.adapters);
        let thread = DeviceThread::spawn("bench", QUEUE, move || -> Result<_, BenchError> {
            let mut decoder = Decoder::load(&shape, &random::RandomSource::new(&shape, seed), placement)?;
            let mut policies = PolicyTable::default();
            if adapters == 0 {
                policies.add(PolicyId(0), &PolicySpec::Base, &mut decoder)?;
            }
            for id in 0..adapters as u32 {
                let spec = PolicySpec::Lora { lora: LoraConfig::default(), optimizer: None, seed: u64::from(id) };
                policies.add(PolicyId(id), &spec, &mut decoder)?;
            }
            let generator = Generator::new(&decoder, std::sync::Arc::new(Silent), GeneratorOptions::default())?;
            Ok(Device { decoder, policies, generator })
        })?;
        Ok(Self { options, thread, config })
    }

    /// Times `rows` concurrent requests and their bound.
    pub fn run(&self, rows: usize) -> Result<BenchResult, BenchError> {
        let handle = self.thread.handle();
        let (mut seconds, mut bounds, mut phases) = (Vec::new(), Vec::new(), Phases::default());
        self.generate(&handle, rows.min(64), 2, u64::MAX)?;
        for repeat in 0..self.options.repeats.max(1) {
            let before = stats(&handle)?;
            let start = Instant::now();
            self.generate(&handle, rows, self.options.new_tokens, repeat as u64)?;
            seconds.push(start.elapsed().as_secs_f64());
            let after = stats(&handle)?;
            let mut passes = after.passes;
            for (shape, count) in before.passes {
                passes.entry(shape).and_modify(|now| *now -= count);
            }
            phases = difference(after.phases, before.phases);
            bounds.push(handle.call(Alone::Entirely, move |device| bound(&device.decoder, &passes))?.as_secs_f64());
        }
        let tokens = (rows * self.options.new_tokens) as f64;
        let (tokens_per_s, bound_tokens_per_s) = (tokens / median(seconds), tokens / median(bounds));
        Ok(BenchResult {
            rows,
            adapters: self.options.adapters,
            tokens_per_s,
            bound_tokens_per_s,
            bound_ratio: tokens_per_s / bound_tokens_per_s,
            phases_ms: milliseconds(phases),
        })
    }

    /// Requests `rows` samples at once and waits for all of them. Prompts differ by `round`, so no round finds the last one's.
    fn generate(
        &self,
        handle: &DeviceHandle<PolicyTable>,
        rows: usize,
        tokens: usize,
        round: u64,
    ) -> Result<(), BenchError> {
        let vocabulary = self.config.vocab as u64;
        let request = |row: usize| {
            let group = (row / self.options.group) as u64;
            let id = |i: u64| {
                ((round.wrapping_mul(1 << 40) ^ (group << 16) ^ i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32)
                    % vocabulary
            };
            GenerateRequest {
                policy: PolicyId(group as u32 % self.options.adapters.max(1) as u32),
                prompt: (0..self.options.prompt_tokens as u64).map(|i| id(i) as u32).collect(),
                sampling: Sampling { max_tokens: tokens, ..Sampling::default() },
                seed: SeedKey { seed: round, request: row as u64 },
                deadline: None,
                stream: false,
            }
        };
        for generation in at_once(handle, (0..rows).map(request))? {
            generation.wait()?;
        }
        Ok(())
    }
}

/// Holds the device until as many requests wait as its queue takes: which prompts are read together must not depend on how fast
/// they are sent.
fn at_once(
    handle: &DeviceHandle<PolicyTable>,
    requests: impl Iterator<Item = GenerateRequest>,
) -> Result<Vec<Generation>, GenerateError> {
    std::thread::scope(|scope| {
        let ((begun, begins), (release, released)) = (bounded::<()>(1), bounded::<()>(0));
        scope.spawn(move || {
            handle.call(Alone::No, move |_| {
                begun.send(()).ok();
                released.recv().ok();
            })
        });
        begins.recv().ok();
        let mut release = Some(release);
        let mut running = Vec::new();
        for (sent, request) in requests.enumerate() {
            if sent == QUEUE {
                release = None;
            }
            running.push(handle.generate(request)?);
        }
        drop(release);
        Ok(running)
    })
}

fn stats(handle: &DeviceHandle<PolicyTable>) -> Result<GeneratorStats, DeviceError> {
    handle.call(Alone::No, |device| device.generator.stats().clone())
}

/// The time that the linear layers of `passes` take by themselves. Each size is timed a few times and counted in full.
fn bound(decoder: &Decoder, passes: &BTreeMap<PassShape, u64>) -> Duration {
    const TIMED: u64 = 8;
    let _off = GradMode::off();
    let layers = plain_layers(decoder);
    let mut total = Duration::ZERO;
    for (shape, &count) in passes.iter().filter(|pass| *pass.1 > 0) {
        pass(&layers, decoder.head_weight(), *shape);
        let timed = count.min(TIMED);
        let start = Instant::now();
        for _ in 0..timed {
            pass(&layers, decoder.head_weight(), *shape);
        }
        total += start.elapsed().mul_f64(count as f64 / timed as f64);
    }
    total
}

/// Every linear layer of the blocks, one by one as checkpoints have them.
fn plain_layers(decoder: &Decoder) -> Vec<Tensor> {
    let names: Vec<&str> = Projection::ALL.iter().map(|projection| projection.name()).collect();
    let is_linear =
        |name: &str| names.iter().any(|part| name.ends_with(&format!("{part}.weight"))) && name.contains("layers");
    let named = decoder.named_tensors();
    named.into_iter().filter(|(name, _)| is_linear(name)).map(|(_, weight)| weight).collect()
}

fn pass(layers: &[Tensor], head: &Tensor, shape: PassShape) {
    let input =
        |weight: &Tensor, rows: usize| Tensor::ones([rows as i64, weight.size()[1]], (weight.kind(), weight.device()));
    let mut inputs: BTreeMap<i64, Tensor> = BTreeMap::new();
    for weight in layers {
        let x = inputs.entry(weight.size()[1]).or_insert_with(|| input(weight, shape.rows));
        let _ = x.linear::<&Tensor>(weight, None);
    }
    if shape.head_rows > 0 {
        let _ = input(head, shape.head_rows).linear::<&Tensor>(head, None);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn difference(after: Phases, before: Phases) -> Phases {
    Phases {
        plan: after.plan.saturating_sub(before.plan),
        attention: after.attention.saturating_sub(before.attention),
        adapters: after.adapters.saturating_sub(before.adapters),
        blocks: after.blocks.saturating_sub(before.blocks),
        head: after.head.saturating_sub(before.head),
        draw: after.draw.saturating_sub(before.draw),
        apply: after.apply.saturating_sub(before.apply),
    }
}

fn milliseconds(phases: Phases) -> BTreeMap<&'static str, f64> {
    let Phases { plan, attention, adapters, blocks, head, draw, apply } = phases;
    let named = [
        ("plan", plan),
        ("attention", attention),
        ("adapters", adapters),
        ("blocks", blocks),
        ("head", head),
        ("draw", draw),
        ("apply", apply),
    ];
    named.into_iter().map(|(name, time)| (name, time.as_secs_f64() * 1e3)).collect()
}

/// No token stands for text: nothing in the bench looks for any.
#[derive(Debug)]
struct Silent;

impl TokenBytes for Silent {
    fn bytes(&self, _id: u32) -> &[u8] {
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_bench_counts_its_work() {
        let options = BenchOptions {
            model: "random:llama".to_owned(),
            placement: Placement::EXACT,
            adapters: 2,
            prompt_tokens: 20,
            new_tokens: 3,
            group: 4,
            repeats: 1,
        };
        let bench = Bench::new(options).unwrap();
        let result = bench.run(8).unwrap();
        assert_eq!((result.rows, result.adapters), (8, 2));
        assert!(result.tokens_per_s > 0.0 && result.bound_tokens_per_s > 0.0);
        let stats = stats(&bench.thread.handle()).unwrap();
        // The warm-up and the timed round: 2 prompts of 20 tokens each, and 8 requests of 2 and of 3 tokens.
        assert_eq!((stats.prefilled, stats.generated), (80, 40));
    }
}
