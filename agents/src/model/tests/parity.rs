//! Log-probabilities of tiny seeded models of every family against Hugging Face transformers
//! (`tests/reference/decoders.py`, `tests/reference/hf_folder.py`).

use marft_torch::GradMode;
use serde::Deserialize;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use super::{distance, fixture, json};
use crate::model::random::RandomSource;
use crate::model::{CausalAttend, Decoder, ModelConfig, Placement, Rows, SafetensorsSource};

/// Largest difference of a log-probability from transformers in f32.
const F32: f32 = 1e-4;
/// Largest difference of bf16 log-probabilities from f32 ones on these models: 0.054 was seen.
const BF16: f32 = 0.1;

#[derive(Deserialize)]
struct Case {
    name: String,
    config: Value,
    seed: u64,
    ids: Vec<u32>,
    logprobs: Vec<f32>,
    last_logits: Vec<f32>,
}

fn decoder(case: &Case, placement: Placement) -> Decoder {
    let config = ModelConfig::from_json(case.config.clone(), &case.name).unwrap();
    Decoder::load(&config, &RandomSource::new(&config, case.seed), placement).unwrap()
}

#[test]
fn every_family_gives_the_log_probs_of_transformers() {
    let cases: Vec<Case> = json("decoders.json");
    assert_eq!(cases.len(), 20);
    for case in cases {
        let decoder = decoder(&case, Placement::EXACT);
        let scores = decoder.score(&case.ids, None).unwrap();
        assert!(distance(&scores, &case.logprobs) < F32, "{}: {}", case.name, distance(&scores, &case.logprobs));

        let _no_grad = GradMode::off();
        let ids: Vec<i64> = case.ids.iter().map(|&id| id.into()).collect();
        let (ids, positions) = (Tensor::from_slice(&ids), Tensor::arange(ids.len() as i64, (Kind::Int64, Device::Cpu)));
        let hidden = decoder.hidden(Rows { ids: &ids, positions: &positions }, &mut CausalAttend, None).unwrap();
        let last: Vec<f32> = decoder.logits(&hidden.narrow(0, ids.size()[0] - 1, 1), None).view(-1).try_into().unwrap();
        assert!(
            distance(&last, &case.last_logits) < 10.0 * F32,
            "{}: {}",
            case.name,
            distance(&last, &case.last_logits)
        );
    }
}

#[test]
fn bf16_stays_within_its_bound_packed_or_not() {
    for case in json::<Vec<Case>>("decoders.json") {
        for packed in [false, true] {
            let placement = Placement { packed, ..Placement::FAST };
            let scores = decoder(&case, placement).score(&case.ids, None).unwrap();
            let distance = distance(&scores, &case.logprobs);
            assert!(distance < BF16, "{} packed {packed}: {distance}", case.name);
            assert!(distance > 0.0, "{}: bf16 computed in f32", case.name);
        }
    }
}

#[test]
fn a_sharded_folder_gives_the_log_probs_of_transformers() {
    #[derive(Deserialize)]
    struct Expected {
        ids: Vec<u32>,
        logprobs: Vec<f32>,
    }
    let expected: Expected = json("hf_folder/log_probs.json");
    let folder = fixture("hf_folder");
    let config = ModelConfig::read(&folder.join("config.json")).unwrap();
    let source = SafetensorsSource::open(&folder).unwrap();
    let decoder = Decoder::load(&config, &source, Placement::EXACT).unwrap();
    let scores = decoder.score(&expected.ids, None).unwrap();
    assert!(distance(&scores, &expected.logprobs) < F32, "{}", distance(&scores, &expected.logprobs));
}
