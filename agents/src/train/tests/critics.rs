//! Critics: shared and per-agent heads, on the frozen base and with an adapter.

use tch::Kind;

use super::{decoder, lora, sequence};
use crate::critic::{CriticConfig, CriticHead, CriticId};
use crate::generate::PolicyId;
use crate::model::Decoder;
use crate::train::{LossFn, OptimizerConfig, PassOptions, PolicySpec, PolicyTable, TrainSequence};

fn with_critic(config: &CriticConfig) -> (Decoder, PolicyTable) {
    let mut decoder = decoder("llama");
    let mut table = PolicyTable::default();
    table.add(PolicyId(0), &PolicySpec::Base, &mut decoder).unwrap();
    table.set_critic(CriticId(7), config, &decoder, 1).unwrap();
    (decoder, table)
}

fn config(with_adapter: bool) -> CriticConfig {
    let optimizer = OptimizerConfig { lr: 1e-2, ..OptimizerConfig::default() };
    let lora = with_adapter.then(lora);
    CriticConfig { hidden: vec![16], heads: 2, lora, optimizer, ..CriticConfig::default() }
}

fn valued(salt: u32, head: usize) -> TrainSequence {
    TrainSequence { critic: Some(CriticHead { critic: CriticId(7), head }), ..sequence(0, salt, 10) }
}

/// Values of head 0 should become 1, of head 1 −1.
fn regression() -> LossFn {
    Box::new(|outputs| {
        let values = outputs.values.as_ref().ok_or("no values")?;
        let part = |index: usize| {
            let range = &outputs.ranges[index];
            values.narrow(0, range.start as i64, range.len() as i64)
        };
        Ok((part(0) - 1.0).square().mean(Kind::Float) + (part(1) + 1.0).square().mean(Kind::Float))
    })
}

#[test]
fn heads_learn_their_own_values() {
    for with_adapter in [false, true] {
        let (decoder, mut table) = with_critic(&config(with_adapter));
        let batch = [valued(1, 0), valued(2, 1), sequence(0, 3, 5)];
        let mut losses = Vec::new();
        for _ in 0..25 {
            losses.push(table.accumulate(&decoder, &batch, PassOptions::default(), regression()).unwrap().loss);
            assert!(table.update_critic(CriticId(7)).unwrap().applied);
        }
        assert!(losses[0] > 1.9 && losses[24] < 0.2, "adapter {with_adapter}: {losses:?}");
        let scores = table.score(&decoder, &batch, PassOptions::default()).unwrap();
        let mean = |values: &Vec<f32>| values.iter().sum::<f32>() / values.len() as f32;
        assert!(mean(scores[0].values.as_ref().unwrap()) > 0.5);
        assert!(mean(scores[1].values.as_ref().unwrap()) < -0.5);
        assert_eq!(scores[2].values, None, "no critic was asked");
    }
}

#[test]
fn kept_features_give_the_same_values() {
    let (decoder, mut table) = with_critic(&config(false));
    let train = |table: &mut PolicyTable| {
        let batch = [valued(1, 0), valued(2, 1)];
        table.accumulate(&decoder, &batch, PassOptions::default(), regression()).unwrap();
        table.update_critic(CriticId(7)).unwrap();
    };
    train(&mut table);
    let batch = [valued(1, 0), valued(2, 1), valued(5, 1)];
    let kept = table.score(&decoder, &batch, PassOptions::default()).unwrap();
    assert!(table.features.used() > 0);
    table.features.clear();
    let fresh = table.score(&decoder, &batch, PassOptions::default()).unwrap();
    assert_eq!(kept, fresh, "bit for bit");
}

#[test]
fn a_saved_critic_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (decoder, mut table) = with_critic(&config(true));
    let batch = [valued(1, 0), valued(2, 1)];
    let step = |table: &mut PolicyTable| {
        table.accumulate(&decoder, &batch, PassOptions::default(), regression()).unwrap();
        table.update_critic(CriticId(7)).unwrap();
    };
    step(&mut table);
    table.save_critic(CriticId(7), folder.path()).unwrap();
    step(&mut table);
    let straight = table.score(&decoder, &batch, PassOptions::default()).unwrap();

    let (_, mut resumed) = with_critic(&config(true));
    resumed.load_critic(CriticId(7), folder.path()).unwrap();
    step(&mut resumed);
    assert_eq!(resumed.score(&decoder, &batch, PassOptions::default()).unwrap(), straight);
}

#[test]
fn a_head_that_is_not_there_is_an_error() {
    let (decoder, mut table) = with_critic(&config(false));
    let error = table.score(&decoder, &[valued(1, 2)], PassOptions::default()).unwrap_err();
    assert!(error.to_string().contains("critic 7 with head 2"), "{error}");
}
