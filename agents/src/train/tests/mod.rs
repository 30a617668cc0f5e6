//! Whole passes of training on tiny random models, against plain arithmetic and against themselves.

mod agreement;
mod commands;
mod critics;
mod gradients;
mod updates;

use super::{OptimizerConfig, PassOptions, PolicySpec, PolicyTable, TrainSequence};
use crate::generate::PolicyId;
use crate::lora::{LoraConfig, Targets};
use crate::model::random::{RandomSource, parse};
use crate::model::{Decoder, Placement};

/// A tiny model of `family` in f32.
fn decoder(family: &str) -> Decoder {
    placed(family, Placement::EXACT)
}

fn placed(family: &str, placement: Placement) -> Decoder {
    let (config, seed) = parse(&format!("random:{family}")).unwrap();
    Decoder::load(&config, &RandomSource::new(&config, seed), placement).unwrap()
}

/// Rank 4 on every projection and on the head.
fn lora() -> LoraConfig {
    let names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"];
    LoraConfig { rank: 4, alpha: 8.0, targets: Targets::parse(&names).unwrap(), ..LoraConfig::default() }
}

fn spec(seed: u64, lr: f64) -> PolicySpec {
    let optimizer = OptimizerConfig { lr, ..OptimizerConfig::default() };
    PolicySpec::Lora { lora: lora(), optimizer: Some(optimizer), seed }
}

/// A table of a base (policy 0) and of trained adapters 1, 2, …, whose B factors are no longer zero.
fn table(decoder: &mut Decoder, adapters: u32) -> PolicyTable {
    let mut table = PolicyTable::default();
    table.add(PolicyId(0), &PolicySpec::Base, decoder).unwrap();
    for id in 1..=adapters {
        table.add(PolicyId(id), &spec(u64::from(id), 1e-2), decoder).unwrap();
        let sequence = sequence(id, 7 + id, 9);
        table.accumulate(decoder, &[sequence], PassOptions::default(), push()).unwrap();
        table.update(PolicyId(id)).unwrap();
    }
    table
}

/// A loss that makes every scored token likelier.
fn push() -> super::LossFn {
    Box::new(|outputs| Ok(-outputs.logprobs.mean(tch::Kind::Float)))
}

/// `length` tokens of a fixed pattern, all but the first scored.
fn sequence(policy: u32, salt: u32, length: u32) -> TrainSequence {
    let ids = (0..length).map(|index| (index * index * 31 + salt * 17 + index * 7) % 320).collect();
    TrainSequence::from_token(PolicyId(policy), ids, 1)
}

fn largest_gap(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
