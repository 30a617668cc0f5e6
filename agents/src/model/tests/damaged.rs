//! Damaged, truncated and wrong files: each a typed error that names the file and the tensor.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::fixture;
use crate::model::gguf::GgufSource;
use crate::model::random::{self, RandomSource};
use crate::model::{Decoder, ModelConfig, ModelError, Placement, SafetensorsSource, TensorSource};

fn copied_folder(change: impl FnOnce(&Path)) -> (tempfile::TempDir, Result<Decoder, ModelError>) {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs_err::read_dir(fixture("hf_folder")).unwrap() {
        let entry = entry.unwrap();
        fs_err::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    change(folder.path());
    let loaded = ModelConfig::read(&folder.path().join("config.json"))
        .and_then(|config| Decoder::load(&config, &SafetensorsSource::open(folder.path())?, Placement::EXACT));
    (folder, loaded)
}

fn edit_config(folder: &Path, key: &str, value: Value) {
    let path = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
    config[key] = value;
    fs_err::write(path, config.to_string()).unwrap();
}

const SHARD: &str = "model-00001-of-00002.safetensors";

#[test]
fn a_folder_without_a_shard_names_the_shard() {
    let (_folder, loaded) = copied_folder(|folder| fs_err::remove_file(folder.join(SHARD)).unwrap());
    let error = loaded.unwrap_err();
    assert!(matches!(&error, ModelError::Read { path, .. } if path.ends_with(SHARD)), "{error}");
}

#[test]
fn a_truncated_shard_and_a_hostile_header_length_are_damage() {
    for cut in [0, 7, 8, 200, 20_000] {
        let (_folder, loaded) = copied_folder(|folder| {
            let bytes = fs_err::read(folder.join(SHARD)).unwrap();
            fs_err::write(folder.join(SHARD), &bytes[..cut]).unwrap();
        });
        let error = loaded.unwrap_err();
        assert!(matches!(&error, ModelError::Damaged { path, .. } if path.ends_with(SHARD)), "{cut}: {error}");
    }
    let (_folder, loaded) = copied_folder(|folder| {
        let mut bytes = fs_err::read(folder.join(SHARD)).unwrap();
        bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        fs_err::write(folder.join(SHARD), bytes).unwrap();
    });
    assert!(matches!(loaded.unwrap_err(), ModelError::Damaged { .. }));
}

#[test]
fn an_index_may_not_name_files_elsewhere() {
    let (_folder, loaded) = copied_folder(|folder| {
        let index = json!({"weight_map": {"x": "../outside.safetensors"}});
        fs_err::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
    });
    let error = loaded.unwrap_err().to_string();
    assert!(error.contains("../outside.safetensors"), "{error}");
}

#[test]
fn a_wrong_shape_names_the_tensor_and_both_shapes() {
    let (_folder, loaded) = copied_folder(|folder| edit_config(folder, "intermediate_size", json!(65)));
    match loaded.unwrap_err() {
        ModelError::WrongShape { tensor, found, expected, .. } => {
            assert_eq!(tensor, "model.layers.0.mlp.gate_proj.weight");
            assert_eq!((found, expected), (vec![64, 32], vec![65, 32]));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_missing_tensor_is_named() {
    let (_folder, loaded) = copied_folder(|folder| edit_config(folder, "num_hidden_layers", json!(3)));
    let error = loaded.unwrap_err();
    assert!(
        matches!(&error, ModelError::MissingTensor { tensor, .. } if tensor.starts_with("model.layers.2.")),
        "{error}"
    );
}

#[test]
fn unknown_families_and_features_are_refused_by_name() {
    let read = |config: Value| ModelConfig::from_json(config, "config.json").unwrap_err().to_string();
    let good = json!({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
                      "intermediate_size": 128, "vocab_size": 100});
    assert!(ModelConfig::from_json(good.clone(), "config.json").is_ok());
    let with = |key: &str, value: Value| {
        let mut config = good.clone();
        config[key] = value;
        read(config)
    };
    assert!(with("model_type", json!("mamba")).contains("`mamba`"));
    assert!(with("hidden_act", json!("relu")).contains("`relu`"));
    assert!(with("num_key_value_heads", json!(3)).contains("4 heads cannot share 3"));
    assert!(with("num_attention_heads", json!(0)).contains("num_attention_heads"));
    assert!(with("num_hidden_layers", json!(u64::from(u32::MAX))).contains("number of layers"));
    assert!(with("hidden_size", json!(-1)).contains("-1"));
    assert!(with("rms_norm_eps", json!(0)).contains("norm epsilon"));
    assert!(with("rope_scaling", json!({"rope_type": "longrope"})).contains("`longrope`"));
    assert!(with("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0})).contains("low_freq_factor"));
    assert!(with("final_logit_softcapping", json!(30.0)).contains("final_logit_softcapping"));
    assert!(with("partial_rotary_factor", json!(0.5)).contains("partial_rotary_factor"));
}

#[test]
fn a_gguf_file_without_a_tensor_names_it_as_the_file_would() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("renamed.gguf");
    let mut bytes = fs_err::read(fixture("gguf/qwen2.gguf")).unwrap();
    let name = b"blk.1.ffn_up.weight";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
    bytes[at + 4] = b'7';
    fs_err::write(&path, bytes).unwrap();
    let source = GgufSource::open(&path).unwrap();
    let error = Decoder::load(source.config(), &source, Placement::EXACT).unwrap_err();
    assert!(matches!(&error, ModelError::MissingTensor { tensor, .. } if tensor == "blk.1.ffn_up.weight"), "{error}");
    assert!(error.to_string().contains("renamed.gguf"), "{error}");
}

#[test]
fn a_gguf_file_of_an_unknown_format_version_or_magic_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let original = fs_err::read(fixture("gguf/qwen2.gguf")).unwrap();
    for (at, byte, words) in [(0, b'X', "GGUF"), (4, 9, "version 9"), (4, 1, "version 1")] {
        let path = folder.path().join("broken.gguf");
        let mut bytes = original.clone();
        bytes[at] = byte;
        fs_err::write(&path, bytes).unwrap();
        let error = GgufSource::open(&path).unwrap_err();
        assert!(matches!(error, ModelError::Damaged { .. }) && error.to_string().contains(words), "{error}");
    }
}

#[test]
fn ids_outside_the_vocabulary_are_an_error() {
    let (config, seed) = random::parse("random:llama").unwrap();
    let decoder = Decoder::load(&config, &RandomSource::new(&config, seed), Placement::EXACT).unwrap();
    let error = decoder.score(&[1, 320], None).unwrap_err();
    assert!(error.to_string().contains("embedding the token ids"), "{error}");
}

#[test]
fn tensors_in_memory_are_checked_too() {
    let source = BTreeMap::from([("a".to_owned(), tch::Tensor::zeros([2, 3], (tch::Kind::Float, tch::Device::Cpu)))]);
    assert!(source.tensor("a", &[2, 3]).is_ok());
    assert!(matches!(source.tensor("a", &[3, 2]), Err(ModelError::WrongShape { .. })));
    assert!(matches!(source.tensor("b", &[3, 2]), Err(ModelError::MissingTensor { .. })));
}
