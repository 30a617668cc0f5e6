//! `random:` models, and taking a decoder apart and together again.

use std::collections::BTreeMap;

use tch::Kind;

use crate::model::random::{self, RandomSource};
use crate::model::{Decoder, Placement, TensorSource, shapes};

fn load(text: &str, placement: Placement) -> Decoder {
    let (config, seed) = random::parse(text).unwrap();
    Decoder::load(&config, &RandomSource::new(&config, seed), placement).unwrap()
}

#[test]
fn the_text_of_a_random_model_is_its_shape_and_seed() {
    let (config, seed) = random::parse("random:gemma3, layers=7, hidden=32, seed=9").unwrap();
    assert_eq!((config.hidden, config.layers, seed), (32, 7, 9));
    assert_eq!(config.windowed, [true, true, true, true, true, false, true]);
    for (text, words) in [
        ("random:gpt", "`gpt` is no known shape"),
        ("random:llama,width=3", "unknown key `width`"),
        ("random:llama,hidden", "not `key=value`"),
        ("random:llama,hidden=x", "not a whole number"),
        ("random:llama,heads=0", "number of heads is 0"),
        ("random:llama,layers=99999999", "number of layers"),
    ] {
        let error = random::parse(text).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn published_shapes_have_the_published_number_of_weights() {
    let parameters = |name: &str| shapes::named(name).unwrap().parameters();
    assert_eq!(parameters("smollm2-135m"), 134_515_008);
    assert_eq!(parameters("gemma3-270m"), 268_098_176);
    assert_eq!(parameters("qwen2.5-0.5b"), 494_032_768);
    for name in shapes::NAMES {
        shapes::named(name).unwrap().check(name).unwrap();
    }
}

#[test]
fn weights_are_a_function_of_the_seed_and_the_name() {
    let (config, _) = random::parse("random:llama").unwrap();
    let draw = |seed, name: &str| RandomSource::new(&config, seed).tensor(name, &[64, 64]).unwrap();
    assert_eq!(draw(1, "a"), draw(1, "a"));
    assert_ne!(draw(1, "a"), draw(2, "a"));
    assert_ne!(draw(1, "a"), draw(1, "b"));
    let deviation = draw(1, "a").std(true).double_value(&[]);
    assert!((deviation - 1.0 / 8.0).abs() < 0.005, "{deviation}");
}

#[test]
fn named_tensors_rebuild_the_same_decoder() {
    for family in ["llama,heads=2", "qwen2", "qwen3", "gemma3"] {
        let decoder = load(&format!("random:{family}"), Placement::EXACT);
        let named: BTreeMap<String, tch::Tensor> = decoder.named_tensors().into_iter().collect();
        let count: usize = named.values().map(tch::Tensor::numel).sum();
        assert_eq!(count, decoder.config().parameters(), "{family}");
        let rebuilt = Decoder::load(decoder.config(), &named, Placement::EXACT).unwrap();
        let ids = [5, 250, 3, 77, 12, 300];
        assert_eq!(decoder.score(&ids, None).unwrap(), rebuilt.score(&ids, None).unwrap(), "{family}");
    }
}

#[test]
fn full_fine_tuning_reaches_every_leaf() {
    let (mut config, seed) = random::parse("random:gemma3").unwrap();
    config.tied = false;
    let mut decoder = Decoder::load(&config, &RandomSource::new(&config, seed), Placement::EXACT).unwrap();
    let leaves = decoder.train_all();
    assert_eq!(leaves.iter().map(tch::Tensor::numel).sum::<usize>(), config.parameters(), "no weight is left out");
    let ids = tch::Tensor::from_slice(&[5_i64, 250, 3, 77]);
    let positions = tch::Tensor::arange(4, (Kind::Int64, tch::Device::Cpu));
    let rows = crate::model::Rows { ids: &ids, positions: &positions };
    let hidden = decoder.hidden(rows, &mut crate::model::CausalAttend, None).unwrap();
    decoder.logits(&hidden, None).square().mean(Kind::Float).backward();
    for (index, leaf) in leaves.iter().enumerate() {
        assert!(
            leaf.grad().defined() && leaf.grad().abs().max().double_value(&[]) > 0.0,
            "leaf {index} {:?}",
            leaf.size()
        );
    }
}
