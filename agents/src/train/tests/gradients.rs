//! Gradients of a packed pass: against differences of the loss, and with and without recomputation.

use tch::{Kind, Tensor};

use super::{decoder, lora, sequence, spec, table};
use crate::generate::PolicyId;
use crate::lora::LoraConfig;
use crate::model::Decoder;
use crate::train::{LossFn, OptimizerConfig, PassOptions, PolicySpec, PolicyTable, TrainSequence};

/// A loss that weighs every log-probability and entropy differently.
fn weighed() -> LossFn {
    Box::new(|outputs| {
        let weights = Tensor::arange(outputs.logprobs.numel() as i64, (Kind::Float, tch::Device::Cpu)).sin();
        Ok((&outputs.logprobs * &weights + &outputs.entropies * weights.cos() * 0.3).sum(Kind::Float))
    })
}

fn sequences() -> Vec<TrainSequence> {
    [(2, 12), (0, 5), (1, 20), (2, 7)].map(|(policy, length)| sequence(policy, length, length)).into()
}

fn parameters(table: &PolicyTable, id: u32) -> Vec<Tensor> {
    table.policy(PolicyId(id)).unwrap().adapter().unwrap().parameters()
}

fn gradients(table: &mut PolicyTable, decoder: &Decoder, options: PassOptions) -> Vec<Tensor> {
    table.accumulate(decoder, &sequences(), options, weighed()).unwrap();
    let made = [1, 2].iter().flat_map(|&id| parameters(table, id)).map(|leaf| leaf.grad().copy()).collect();
    table.discard().unwrap();
    made
}

#[test]
fn gradients_are_the_slope_of_the_loss() {
    for family in ["llama", "gemma3"] {
        let mut decoder = decoder(family);
        let mut table = table(&mut decoder, 2);
        let slopes = gradients(&mut table, &decoder, PassOptions::default());
        let leaves: Vec<Tensor> = [1, 2].iter().flat_map(|&id| parameters(&table, id)).collect();
        // A step along the gradient itself, which no rounding error hides.
        let norm = slopes.iter().map(|slope| slope.square().sum(Kind::Double).double_value(&[])).sum::<f64>();
        let step = 1e-3 / norm.sqrt();
        let mut loss_at = |sign: f64| {
            for (leaf, slope) in leaves.iter().zip(&slopes) {
                leaf.detach().copy_(&(leaf.detach() + slope * (sign * step)));
            }
            for id in [1, 2] {
                table.policies.get_mut(&PolicyId(id)).unwrap().refresh();
            }
            let report = table.accumulate(&decoder, &sequences(), PassOptions::default(), weighed()).unwrap();
            table.discard().unwrap();
            report.loss
        };
        let difference = loss_at(1.0) - loss_at(-2.0);
        let expected = 2.0 * step * norm;
        assert!((difference / expected - 1.0).abs() < 0.02, "{family}: {difference} against {expected}");
    }
}

#[test]
fn recomputing_blocks_changes_nothing() {
    let mut decoder = decoder("qwen3");
    let mut table = table(&mut decoder, 2);
    let kept = gradients(&mut table, &decoder, PassOptions::default());
    let recomputed = gradients(&mut table, &decoder, PassOptions { checkpointing: true, ..PassOptions::default() });
    for (one, other) in kept.iter().zip(&recomputed) {
        assert!(one.equal(other));
    }
}

#[test]
fn recomputing_drops_the_same_inputs_again() {
    let mut decoder = decoder("llama");
    let lora = LoraConfig { dropout: 0.3, ..lora() };
    let spec = PolicySpec::Lora { lora, optimizer: Some(OptimizerConfig::default()), seed: 4 };
    let mut table = PolicyTable::default();
    table.add(PolicyId(0), &PolicySpec::Base, &mut decoder).unwrap();
    for id in [1, 2] {
        table.add(PolicyId(id), &spec, &mut decoder).unwrap();
    }
    let mut run = |checkpointing| {
        tch::manual_seed(11);
        gradients(&mut table, &decoder, PassOptions { checkpointing, ..PassOptions::default() })
    };
    let (kept, recomputed) = (run(false), run(true));
    for (one, other) in kept.iter().zip(&recomputed) {
        assert!(one.allclose(other, 1e-5, 1e-6, false));
    }
}

#[test]
fn two_passes_add_up_to_one() {
    let mut decoder = decoder("llama");
    let mut table = table(&mut decoder, 2);
    let sum = || -> LossFn { Box::new(|outputs| Ok(outputs.logprobs.sum(Kind::Float))) };
    let mut run = |cuts: &[&[TrainSequence]]| {
        for part in cuts {
            table.accumulate(&decoder, part, PassOptions::default(), sum()).unwrap();
        }
        let made: Vec<_> =
            [1, 2].iter().flat_map(|&id| parameters(&table, id)).map(|leaf| leaf.grad().copy()).collect();
        table.discard().unwrap();
        made
    };
    let all = sequences();
    let (once, twice) = (run(&[&all]), run(&[&all[..2], &all[2..]]));
    for (one, other) in once.iter().zip(&twice) {
        assert!(one.allclose(other, 1e-4, 1e-5, false));
    }
}

#[test]
fn a_loss_that_is_no_number_is_refused_and_leaves_nothing() {
    let mut decoder = decoder("llama");
    let mut table = table(&mut decoder, 1);
    for loss in [
        Box::new(|o: &crate::train::TrainOutputs| Ok(o.logprobs.sum(Kind::Float) * f64::NAN)) as LossFn,
        Box::new(|o: &crate::train::TrainOutputs| Ok(o.logprobs.shallow_clone())) as LossFn,
        Box::new(|_: &crate::train::TrainOutputs| Err("no reward".into())) as LossFn,
    ] {
        assert!(table.accumulate(&decoder, &[sequence(1, 3, 9)], PassOptions::default(), loss).is_err());
        assert!(parameters(&table, 1).iter().all(|leaf| !leaf.grad().defined()));
    }
}

#[test]
fn the_base_collects_nothing() {
    let mut decoder = decoder("llama");
    let mut table = PolicyTable::default();
    table.add(PolicyId(0), &PolicySpec::Base, &mut decoder).unwrap();
    table.add(PolicyId(1), &spec(1, 1e-2), &mut decoder).unwrap();
    table.accumulate(&decoder, &[sequence(0, 3, 9), sequence(1, 3, 9)], PassOptions::default(), weighed()).unwrap();
    assert!(decoder.named_tensors().iter().all(|(_, weight)| !weight.requires_grad() && !weight.grad().defined()));
    assert!(table.update(PolicyId(0)).unwrap_err().to_string().contains("frozen"));
}

/// Sequences that share a prompt are laid out as one tree; their gradients must be those of each alone.
#[test]
fn a_shared_prompt_changes_nothing() {
    for family in ["llama", "gemma3"] {
        let mut decoder = decoder(family);
        let mut table = table(&mut decoder, 1);
        let prompt: Vec<u32> = (0..14).map(|index| (index * 37 + 5) % 320).collect();
        let with = |answer: &[u32]| {
            TrainSequence::from_token(PolicyId(1), [prompt.as_slice(), answer].concat(), prompt.len() as u32)
        };
        let all = [with(&[7, 8, 9]), with(&[7, 8]), with(&[300]), with(&[9, 1, 2, 3])];
        let sum = || -> LossFn { Box::new(|outputs| Ok(outputs.logprobs.square().sum(Kind::Float))) };
        let mut run = |sets: &[&[TrainSequence]]| {
            let reports: Vec<_> = sets
                .iter()
                .map(|set| table.accumulate(&decoder, set, PassOptions::default(), sum()).unwrap())
                .collect();
            let slopes: Vec<Tensor> = parameters(&table, 1).iter().map(|leaf| leaf.grad().copy()).collect();
            table.discard().unwrap();
            let rows: usize = reports.iter().map(|report| report.rows).sum();
            (reports.iter().map(|report| report.loss).sum::<f64>(), rows, slopes)
        };
        let (together, rows, shared) = run(&[&all]);
        let (alone, flat_rows, flat) = run(&[&all[..1], &all[1..2], &all[2..3], &all[3..]]);
        assert!(rows < flat_rows / 2, "{rows} rows instead of {flat_rows}");
        assert!((together - alone).abs() < 1e-4 * alone, "{family}: {together} against {alone}");
        for (one, other) in shared.iter().zip(&flat) {
            let (gap, size) = ((one - other).norm().double_value(&[]), other.norm().double_value(&[]));
            assert!(gap <= 1e-4 * size + 1e-6, "{family}: {gap} of {size}");
        }
    }
}
