//! Updates: they learn, they touch their own policy only, and they resume bit for bit.

use tch::{Kind, Tensor};

use super::{decoder, placed, push, sequence, spec, table};
use crate::generate::{Policies, PolicyId};
use crate::model::{Decoder, Placement};
use crate::train::{LossFn, OptimizerConfig, PassOptions, PolicySpec, PolicyTable, SequenceScores};

fn step(table: &mut PolicyTable, decoder: &Decoder, policy: u32) -> f64 {
    let loss = table.accumulate(decoder, &[sequence(policy, 3, 16)], PassOptions::default(), push()).unwrap().loss;
    assert!(table.update(PolicyId(policy)).unwrap().applied);
    loss
}

fn score(table: &mut PolicyTable, decoder: &Decoder, policy: u32) -> Vec<SequenceScores> {
    table.score(decoder, &[sequence(policy, 3, 16)], PassOptions::default()).unwrap()
}

#[test]
fn an_update_teaches_its_policy_and_no_other() {
    for placement in [Placement::EXACT, Placement::FAST] {
        let mut decoder = placed("llama", placement);
        let mut table = table(&mut decoder, 2);
        let (base, other) = (score(&mut table, &decoder, 0), score(&mut table, &decoder, 2));
        let losses: Vec<f64> = (0..12).map(|_| step(&mut table, &decoder, 1)).collect();
        assert!(losses[11] < losses[0] - 0.5, "{losses:?}");
        assert_eq!(score(&mut table, &decoder, 0), base);
        assert_eq!(score(&mut table, &decoder, 2), other);
        assert_eq!([1, 2].map(|id| table.version(PolicyId(id))), [Some(13), Some(1)]);
    }
}

#[test]
fn a_saved_policy_goes_on_bit_for_bit() {
    for placement in [Placement::EXACT, Placement::FAST] {
        let folder = tempfile::tempdir().unwrap();
        let mut decoder = placed("qwen2", placement);
        let mut table = table(&mut decoder, 1);
        step(&mut table, &decoder, 1);
        table.save(PolicyId(1), folder.path(), Some("random:qwen2")).unwrap();
        step(&mut table, &decoder, 1);
        let straight = score(&mut table, &decoder, 1);

        let mut resumed = PolicyTable::default();
        let config = OptimizerConfig { lr: 1e-2, ..OptimizerConfig::default() };
        resumed.load(PolicyId(1), folder.path(), Some(config), &decoder).unwrap();
        assert_eq!(resumed.version(PolicyId(1)), Some(2));
        step(&mut resumed, &decoder, 1);
        assert_eq!(score(&mut resumed, &decoder, 1), straight);

        resumed.load(PolicyId(2), folder.path(), None, &decoder).unwrap();
        assert!(resumed.update(PolicyId(2)).is_err(), "loaded without an optimiser it is frozen");
    }
}

#[test]
fn a_damaged_state_changes_nothing_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut decoder = decoder("llama");
    let mut table = table(&mut decoder, 1);
    table.save(PolicyId(1), folder.path(), None).unwrap();
    let before = score(&mut table, &decoder, 1);
    let path = folder.path().join("optimizer.safetensors");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let config = Some(OptimizerConfig::default());
    let error = table.load(PolicyId(1), folder.path(), config, &decoder).unwrap_err().to_string();
    assert!(error.contains("optimizer.safetensors"), "{error}");
    assert_eq!(score(&mut table, &decoder, 1), before);
}

#[test]
fn policies_share_one_base_in_memory() {
    let mut decoder = placed("smollm2-135m,layers=2,vocab=512", Placement { packed: false, ..Placement::FAST });
    let base: u64 = decoder.named_tensors().iter().map(|(_, weight)| weight.numel() as u64 * 2).sum();
    let mut table = PolicyTable::default();
    for id in 0..8 {
        table.add(PolicyId(id), &spec(u64::from(id), 1e-4), &mut decoder).unwrap();
    }
    let values = table.policy(PolicyId(0)).unwrap().adapter().unwrap().parameter_count() as u64;
    // Masters in f32, copies in bf16, two moments in f32.
    assert_eq!(table.bytes(), 8 * values * (4 + 2 + 8));
    assert!(table.bytes() / 8 < base, "a policy costs less than a base");
    for (_, weight) in decoder.named_tensors() {
        assert!(!weight.requires_grad());
    }
}

#[test]
fn full_fine_tuning_moves_the_base() {
    for kind in [Kind::Float, Kind::BFloat16] {
        let mut decoder = placed("llama", Placement { kind, ..Placement::EXACT });
        let mut table = PolicyTable::default();
        table.add(PolicyId(0), &PolicySpec::Base, &mut decoder).unwrap();
        let optimizer = OptimizerConfig { lr: 3e-3, ..OptimizerConfig::default() };
        table.add(PolicyId(1), &PolicySpec::Full { optimizer }, &mut decoder).unwrap();
        let before = score(&mut table, &decoder, 0);
        let losses: Vec<f64> = (0..8).map(|_| step(&mut table, &decoder, 1)).collect();
        assert!(losses[7] < losses[0] - 0.3, "{kind:?}: {losses:?}");
        assert_ne!(score(&mut table, &decoder, 0), before, "the base is what is trained");
        let again = PolicySpec::Full { optimizer };
        assert!(table.add(PolicyId(2), &again, &mut decoder).is_err());
    }
}

#[test]
fn checkpointing_serves_full_fine_tuning() {
    let run = |checkpointing| {
        let mut decoder = decoder("llama");
        let mut table = PolicyTable::default();
        let spec = PolicySpec::Full { optimizer: OptimizerConfig::default() };
        table.add(PolicyId(1), &spec, &mut decoder).unwrap();
        let options = PassOptions { checkpointing, ..PassOptions::default() };
        table.accumulate(&decoder, &[sequence(1, 3, 16)], options, push()).unwrap();
        let grads: Vec<Tensor> = decoder.train_all().iter().map(Tensor::grad).collect();
        grads
    };
    for (one, other) in run(false).iter().zip(run(true)) {
        assert!(one.allclose(&other, 1e-4, 1e-6, false));
    }
}

#[test]
fn small_gradients_of_a_narrow_base_add_up() {
    let norm = |shares: &[f64]| {
        let mut decoder = placed("qwen3", Placement { kind: Kind::BFloat16, ..Placement::EXACT });
        let mut table = PolicyTable::default();
        let spec = PolicySpec::Full { optimizer: OptimizerConfig::default() };
        table.add(PolicyId(1), &spec, &mut decoder).unwrap();
        for share in shares.iter().copied() {
            let loss: LossFn = Box::new(move |outputs| Ok(-outputs.logprobs.mean(Kind::Float) * share));
            table.accumulate(&decoder, &[sequence(1, 3, 16)], PassOptions::default(), loss).unwrap();
        }
        table.update(PolicyId(1)).unwrap().grad_norm
    };
    // a 512th of a bf16 number is less than half its last place: added to it in bf16, it is lost
    let (one, all) = (norm(&[1.0]), norm(&[[1.0].as_slice(), &[1.0 / 512.0; 8]].concat()));
    assert!((all / one - (1.0 + 8.0 / 512.0)).abs() < 1e-3, "{all} against {one}");
}

#[test]
fn what_is_discarded_of_a_narrow_base_is_gone() {
    let mut decoder = placed("llama", Placement { kind: Kind::BFloat16, ..Placement::EXACT });
    let mut table = PolicyTable::default();
    let spec = PolicySpec::Full { optimizer: OptimizerConfig::default() };
    table.add(PolicyId(1), &spec, &mut decoder).unwrap();
    table.accumulate(&decoder, &[sequence(1, 3, 16)], PassOptions::default(), push()).unwrap();
    table.discard().unwrap();
    assert_eq!(table.update(PolicyId(1)).unwrap().grad_norm, 0.0);
}
