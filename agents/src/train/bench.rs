//! A training step against the clock, and against the bound that its own linear layers set.
//!
//! The work: sequences of several policies, forward, clipped loss, backward and an update of every policy, cut into passes as
//! the engine cuts them. The bound: the plain linear layers of the base over all tokens of all sequences, forward and gradient of
//! the input, and nothing else: no attention, no norms, no adapters, no loss. Where sequences answer the same prompt, the engine
//! computes it once, and may pass the bound, which does not. Both run in turn in one process.

use std::time::{Duration, Instant};

use marft_torch::{CHUNK_ROWS, GradMode};
use serde::Serialize;
use tch::{Kind, Tensor};

use super::error::TrainError;
use super::optimizer::OptimizerConfig;
use super::policy::PolicySpec;
use super::sequence::{TrainSequence, micro_batches};
use super::table::{PassOptions, PolicyTable, TrainOutputs};
use crate::generate::PolicyId;
use crate::lora::LoraConfig;
use crate::model::{Decoder, ModelError, Placement, Projection, random};

/// The work of a bench.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainBenchOptions {
    /// A `random:` shape.
    pub model: String,
    /// How it is placed.
    pub placement: Placement,
    /// Policies, each with an adapter and an optimiser of its own.
    pub policies: usize,
    /// Sequences of one step.
    pub sequences: usize,
    /// Sequences that answer the same prompt, of the same policy; 1: each has its own.
    pub group: usize,
    /// Tokens before the first scored one.
    pub prompt_tokens: usize,
    /// Scored tokens.
    pub new_tokens: usize,
    /// Tokens of one pass.
    pub batch_tokens: usize,
    /// Recompute blocks on the way back.
    pub checkpointing: bool,
    /// How often work and bound are timed in turn; the median counts.
    pub repeats: usize,
}

/// What a bench found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainBenchResult {
    /// Policies in the step.
    pub policies: usize,
    /// Tokens of each sequence.
    pub sequence_tokens: usize,
    /// Tokens trained a second, prompts included.
    pub tokens_per_s: f64,
    /// Tokens a second if the linear layers of the base, forward and input gradient, were all there is.
    pub bound_tokens_per_s: f64,
    /// The first over the second.
    pub bound_ratio: f64,
    /// Most memory the process has held so far, MiB; `None` where the system does not tell.
    pub peak_mib: Option<f64>,
}

/// Why a bench gave no result.
#[derive(Debug, thiserror::Error)]
pub enum TrainBenchError {
    /// The model could not be made.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The step failed.
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// Makes a model and its policies, and times steps and their bound.
pub fn run(options: &TrainBenchOptions) -> Result<TrainBenchResult, TrainBenchError> {
    let (config, seed) = random::parse(&options.model)?;
    let mut decoder = Decoder::load(&config, &random::RandomSource::new(&config, seed), options.placement)?;
    let mut table = PolicyTable::default();
    for id in 0..options.policies as u32 {
        let optimizer = Some(OptimizerConfig::default());
        let spec = PolicySpec::Lora { lora: LoraConfig::default(), optimizer, seed: u64::from(id) };
        table.add(PolicyId(id), &spec, &mut decoder)?;
    }
    let sequences = sequences(options, config.vocab);
    // Warm-up on one pass, so that no first-time cost is timed; and the peak it leaves is that of a pass.
    step(&mut table, &decoder, &sequences[..1.min(sequences.len())], options)?;
    let (mut work, mut bounds, mut peak) = (Vec::new(), Vec::new(), None);
    for _ in 0..options.repeats.max(1) {
        let start = Instant::now();
        step(&mut table, &decoder, &sequences, options)?;
        work.push(start.elapsed().as_secs_f64());
        peak = peak.or_else(peak_mib);
        bounds.push(bound(&decoder, &sequences, options).as_secs_f64());
    }
    let tokens = sequences.iter().map(|sequence| sequence.ids.len()).sum::<usize>() as f64;
    let (tokens_per_s, bound_tokens_per_s) = (tokens / median(work), tokens / median(bounds));
    Ok(TrainBenchResult {
        policies: options.policies,
        sequence_tokens: options.prompt_tokens + options.new_tokens,
        tokens_per_s,
        bound_tokens_per_s,
        bound_ratio: tokens_per_s / bound_tokens_per_s,
        peak_mib: peak,
    })
}

fn sequences(options: &TrainBenchOptions, vocab: usize) -> Vec<TrainSequence> {
    let length = options.prompt_tokens + options.new_tokens;
    let id = |sequence: usize, token: usize| (sequence * 7919 + token * token * 31 + token) % vocab;
    let one = |sequence: usize| {
        let question = sequence / options.group.max(1);
        let source = |token: usize| if token < options.prompt_tokens { question } else { sequence };
        let ids = (0..length).map(|token| id(source(token), token) as u32).collect();
        let policy = PolicyId((question % options.policies.max(1)) as u32);
        TrainSequence::from_token(policy, ids, options.prompt_tokens as u32)
    };
    let mut all: Vec<_> = (0..options.sequences).map(one).collect();
    // Passes of few policies each, as the engine packs them.
    all.sort_by_key(|sequence| sequence.policy);
    all
}

/// One step: the sequences in passes, then an update of every policy.
fn step(
    table: &mut PolicyTable,
    decoder: &Decoder,
    sequences: &[TrainSequence],
    options: &TrainBenchOptions,
) -> Result<(), TrainError> {
    let scored: usize = sequences.iter().map(|sequence| sequence.scored.len()).sum();
    let pass = PassOptions { checkpointing: options.checkpointing, ..PassOptions::default() };
    for batch in cut(sequences, options) {
        let loss = Box::new(move |outputs: &TrainOutputs| Ok(clipped(&outputs.logprobs) / scored as f64));
        table.accumulate(decoder, batch, pass, loss)?;
    }
    for id in 0..options.policies as u32 {
        table.update(PolicyId(id))?;
    }
    Ok(())
}

fn cut<'a>(sequences: &'a [TrainSequence], options: &TrainBenchOptions) -> Vec<&'a [TrainSequence]> {
    let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
    let batches = micro_batches(&lengths, options.batch_tokens);
    // Batches are runs of neighbours.
    batches.into_iter().map(|batch| &sequences[batch[0]..batch[0] + batch.len()]).collect()
}

/// Sum of PPO's clipped objective with advantages of either sign, at the first of several updates.
fn clipped(logprobs: &Tensor) -> Tensor {
    let advantages = Tensor::arange(logprobs.numel() as i64, (Kind::Float, logprobs.device())).sin();
    let ratio = (logprobs - logprobs.detach()).exp();
    let objective = (&ratio * &advantages).minimum(&(ratio.clamp(0.8, 1.2) * &advantages));
    -objective.sum(Kind::Float)
}

/// The time that the linear layers of the base take over the rows of the same passes, forward and gradient of the input.
fn bound(decoder: &Decoder, sequences: &[TrainSequence], options: &TrainBenchOptions) -> Duration {
    let _off = GradMode::off();
    let names: Vec<String> = Projection::ALL.iter().map(|projection| format!("{}.weight", projection.name())).collect();
    let is_linear = |name: &str| name.contains("layers") && names.iter().any(|part| name.ends_with(part));
    let named = decoder.named_tensors();
    let layers: Vec<_> = named.iter().filter(|(name, _)| is_linear(name)).map(|(_, weight)| weight).collect();
    let both = |weight: &Tensor, rows: usize| {
        let of = |width: i64| Tensor::ones([rows as i64, width], (weight.kind(), weight.device()));
        let (x, gradient) = (of(weight.size()[1]), of(weight.size()[0]));
        let start = Instant::now();
        let _ = x.linear::<&Tensor>(weight, None);
        let _ = gradient.matmul(weight);
        start.elapsed()
    };
    let mut total = Duration::ZERO;
    for batch in cut(sequences, options) {
        let rows = batch.iter().map(|sequence| sequence.ids.len()).sum();
        total += layers.iter().map(|weight| both(weight, rows)).sum::<Duration>();
        let scored: usize = batch.iter().map(|sequence| sequence.scored.len()).sum();
        let chunk = CHUNK_ROWS as usize;
        for first in (0..scored).step_by(chunk) {
            total += both(decoder.head_weight(), chunk.min(scored - first));
        }
    }
    total
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// High-water mark of the process's memory, as Linux tells it.
fn peak_mib() -> Option<f64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_bench_counts_its_work() {
        let options = TrainBenchOptions {
            model: "random:llama".to_owned(),
            placement: Placement::EXACT,
            policies: 2,
            sequences: 5,
            group: 1,
            prompt_tokens: 4,
            new_tokens: 6,
            batch_tokens: 25,
            checkpointing: false,
            repeats: 1,
        };
        let all = sequences(&options, 320);
        let cuts: Vec<usize> = cut(&all, &options).iter().map(|batch| batch.len()).collect();
        assert_eq!(cuts, [2, 2, 1]);
        let result = run(&options).unwrap();
        assert!(result.tokens_per_s > 0.0 && result.bound_ratio > 0.0);
        assert_eq!(result.sequence_tokens, 10);
        let grouped = sequences(&TrainBenchOptions { group: 4, ..options }, 320);
        assert_eq!(grouped[0].ids[..4], grouped[3].ids[..4]);
        assert_ne!(grouped[0].ids[4..], grouped[3].ids[4..]);
        assert_ne!(grouped[3].ids[..4], grouped[4].ids[..4]);
    }
}
