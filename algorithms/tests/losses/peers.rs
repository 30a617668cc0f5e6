//! `fixtures/losses_peers.json`: TRL's own loss methods and verl's formulas on random ragged batches, see
//! `reference/losses_peers.py`. Values and gradients to 1e-9 in f64 and 1e-5 in f32.

use marft_algorithms::kl::{KlInLoss, kl_in_loss};
use marft_algorithms::loss::{
    Cispo, Dapo, DrGrpo, DualClip, Grpo, Gspo, Lane, PolicyBatch, PpoClip, cispo, dapo, dr_grpo, dual_clip, grpo, gspo,
    ppo_clip,
};
use marft_algorithms::value::{ValueBatch, ValueLossConfig, value_loss};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tch::Tensor;

use crate::columns::{assert_close, cast, counts, flat, gradient, leaf, mask};

fn config<C: DeserializeOwned>(case: &Value) -> C {
    serde_json::from_value(case["config"].clone()).unwrap()
}

/// The peer's names are the keys of the configuration, so that their aliases are tested too.
fn ours<F: Lane>(case: &Value, new: &Tensor, batch: &PolicyBatch<'_, F>) -> (Tensor, f64) {
    let name = case["name"].as_str().unwrap();
    let policy = match name {
        "trl dr_grpo" => dr_grpo(new, batch, &config::<DrGrpo>(case)),
        "trl dapo" => dapo(new, batch, &config::<Dapo>(case)),
        "trl bnpo" => ppo_clip(new, batch, &config::<PpoClip>(case)),
        "trl cispo" | "verl cispo" => cispo(new, batch, &config::<Cispo>(case)),
        "trl sequence" | "verl gspo" => gspo(new, batch, &config::<Gspo>(case)),
        "trl grpo delta" => {
            let aggregation = Grpo::default().aggregation;
            dual_clip(new, batch, &DualClip { aggregation, ..config(case) })
        }
        _ if name.starts_with("trl grpo") => grpo(new, batch, &config::<Grpo>(case)),
        _ if name.starts_with("verl vanilla") => dual_clip(new, batch, &config::<DualClip>(case)),
        _ => return others(case, new, batch),
    };
    let out = policy.unwrap();
    (out.loss, out.value)
}

fn others<F: Lane>(case: &Value, new: &Tensor, batch: &PolicyBatch<'_, F>) -> (Tensor, f64) {
    let name = case["name"].as_str().unwrap();
    let reference = batch.logp_ref.unwrap();
    if name == "value clipped mse" {
        let batch = ValueBatch::new(batch.logp_old, reference, batch.in_loss, batch.lengths);
        let out = value_loss(new, &batch, &config::<ValueLossConfig>(case)).unwrap();
        return (out.loss, out.value);
    }
    assert!(name.starts_with("verl kl"), "no loss of ours for {name}");
    let out = kl_in_loss(new, reference, batch.in_loss, batch.lengths, None, &config::<KlInLoss>(case)).unwrap();
    (out.loss, out.value)
}

fn every_case<F: Lane>(tolerance: f64) {
    let all: Value = serde_json::from_str(include_str!("../fixtures/losses_peers.json")).unwrap();
    let cases = all["tokens"].as_array().unwrap();
    assert_eq!(cases.len(), 19);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let column = |key: &str| cast::<F>(&flat(&case[key]));
        let (old, advantage, reference) = (column("logp_old"), column("advantage"), column("logp_ref"));
        let (in_loss, lengths) = (mask(&case["in_loss"]), counts(&case["lengths"]));
        let weight = case.get("weight").map(|weight| cast::<F>(&flat(weight)));
        let batch = PolicyBatch { weight: weight.as_deref(), ..PolicyBatch::new(&old, &advantage, &in_loss, &lengths) }
            .with_reference(&reference);
        let new = leaf::<F>(&flat(&case["logp_new"]));
        let (loss, value) = ours(case, &new, &batch);
        let want = case["loss"].as_f64().unwrap();
        assert_close(name, &[value, loss.double_value(&[])], &[want, want], tolerance);
        assert_close(name, &gradient(&loss, &new), &flat(&case["grad"]), tolerance);
    }
}

#[test]
fn in_f64() {
    every_case::<f64>(1e-9);
}

#[test]
fn in_f32() {
    every_case::<f32>(1e-5);
}
