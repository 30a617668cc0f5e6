//! Adapters against Hugging Face peft, and against hostile files.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tch::{Kind, Tensor};

use super::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, LoraAdapter, LoraConfig, LoraError, Targets, load_adapter, save_adapter};
use crate::generate::PolicyId;
use crate::lora::merged;
use crate::model::random::{RandomSource, parse};
use crate::model::{Decoder, Placement, Projection};
use crate::pretrained::{Location, ModelExport, Store};
use crate::train::{LossFn, OptimizerConfig, PassOptions, PolicySpec, PolicyTable, TrainSequence};

fn decoder() -> Decoder {
    let (config, seed) = parse("random:llama").unwrap();
    Decoder::load(&config, &RandomSource::new(&config, seed), Placement::EXACT).unwrap()
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/peft")
}

/// What `tests/reference/peft_adapter.py` wrote.
#[derive(Deserialize)]
struct Reference {
    ids: Vec<u32>,
    logprobs: Vec<f32>,
    grad_norms: Vec<f64>,
    trained: Vec<f32>,
}

fn reference() -> Reference {
    serde_json::from_str(&std::fs::read_to_string(fixture().join("log_probs.json")).unwrap()).unwrap()
}

fn score(table: &mut PolicyTable, decoder: &Decoder, ids: &[u32]) -> Vec<f32> {
    let sequence = TrainSequence::from_token(PolicyId(1), ids.to_vec(), 1);
    table.score(decoder, &[sequence], PassOptions::default()).unwrap().remove(0).logprobs
}

fn assert_near(left: &[f32], right: &[f32]) {
    assert_eq!(left.len(), right.len());
    let gap = left.iter().zip(right).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(gap < 1e-4, "{gap}");
}

#[test]
fn an_adapter_of_peft_says_and_learns_the_same_here() {
    let (decoder, reference) = (decoder(), reference());
    let optimizer =
        OptimizerConfig { lr: 1e-2, weight_decay: 0.01, max_grad_norm: Some(0.5), ..OptimizerConfig::default() };
    let mut table = PolicyTable::default();
    table.load(PolicyId(1), &fixture(), Some(optimizer), &decoder).unwrap();
    assert_near(&score(&mut table, &decoder, &reference.ids), &reference.logprobs);
    for norm in &reference.grad_norms {
        let sequence = TrainSequence::from_token(PolicyId(1), reference.ids.clone(), 1);
        let loss: LossFn = Box::new(|outputs| Ok(-outputs.logprobs.mean(Kind::Float)));
        table.accumulate(&decoder, &[sequence], PassOptions::default(), loss).unwrap();
        let report = table.update(PolicyId(1)).unwrap();
        assert!((report.grad_norm / norm - 1.0).abs() < 1e-4, "{} against {norm}", report.grad_norm);
    }
    assert_near(&score(&mut table, &decoder, &reference.ids), &reference.trained);
}

/// An adapter on every projection and the head, with a B factor that is not zero.
fn trained(decoder: &mut Decoder, folder: &Path) -> PolicyTable {
    let mut targets = Targets::AllLinear.projections();
    targets.push(Projection::Head);
    let lora = LoraConfig { rank: 3, alpha: 5.0, targets: Targets::Named(targets), ..LoraConfig::default() };
    let optimizer = Some(OptimizerConfig { lr: 1e-2, ..OptimizerConfig::default() });
    let mut table = PolicyTable::default();
    table.add(PolicyId(1), &PolicySpec::Lora { lora, optimizer, seed: 3 }, decoder).unwrap();
    let sequence = TrainSequence::from_token(PolicyId(1), (1..30).collect(), 1);
    let loss: LossFn = Box::new(|outputs| Ok(-outputs.logprobs.mean(Kind::Float)));
    table.accumulate(decoder, &[sequence], PassOptions::default(), loss).unwrap();
    table.update(PolicyId(1)).unwrap();
    table.save(PolicyId(1), folder, Some("random:llama")).unwrap();
    table
}

#[test]
fn a_saved_adapter_comes_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let mut decoder = decoder();
    let table = trained(&mut decoder, folder.path());
    let own = table.policy(PolicyId(1)).unwrap().adapter().unwrap();
    let loaded = load_adapter(folder.path(), decoder.config(), Placement::EXACT).unwrap();
    assert_eq!(loaded.config(), own.config());
    for ((_, projection, a, b), (.., loaded_a, loaded_b)) in own.named_factors().iter().zip(loaded.named_factors()) {
        assert!(a.equal(&loaded_a) && b.equal(&loaded_b), "{projection:?}");
        assert!(b.abs().max().double_value(&[]) > 0.0);
    }
}

/// Needs Python with torch, transformers and peft: the interpreter that `MARFT_TEST_PYTHON` names, else `python3`. Where a
/// package is missing the test says so and checks nothing.
#[test]
fn peft_reads_our_adapter_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut decoder = decoder();
    let mut table = trained(&mut decoder, folder.path());
    let python = std::env::var_os("MARFT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/peft_adapter.py");
    let ran = match std::process::Command::new(&python).arg(script).arg(folder.path()).output() {
        Ok(ran) => ran,
        Err(error) => return eprintln!("skipped: cannot run {}: {error}", python.display()),
    };
    let said = String::from_utf8_lossy(&ran.stderr);
    if ran.status.code() == Some(77) {
        return eprintln!("skipped: peft is not at hand: {}", said.trim());
    }
    assert!(ran.status.success(), "{said}");
    let theirs: Vec<f32> = serde_json::from_slice(&ran.stdout).unwrap();
    assert_near(&score(&mut table, &decoder, &reference().ids), &theirs);
}

#[test]
fn a_merged_checkpoint_says_what_base_and_adapter_say() {
    let folder = tempfile::tempdir().unwrap();
    let mut base = decoder();
    let mut table = trained(&mut base, &folder.path().join("adapter"));
    let adapter = table.policy(PolicyId(1)).unwrap().adapter().unwrap();
    let (config, tensors) = merged(&base, adapter);
    let head = tensors.iter().any(|(name, _)| name == "lm_head.weight");
    assert!(base.config().tied && !config.tied && head, "an adapted head comes apart from the embedding");
    let location = Location::resolve("random:llama", &Store::at(folder.path())).unwrap();
    let out = folder.path().join("model");
    let notes = ModelExport { base: &location, config, tensors, kind: Kind::Float }.write(&out).unwrap();
    assert_eq!(notes, [""; 0]);
    let plain = Location::resolve(out.to_str().unwrap(), &Store::at(folder.path())).unwrap();
    let plain = plain.decoder(Placement::EXACT).unwrap();
    let ids: Vec<u32> = (5..60).collect();
    let with_adapter = score(&mut table, &base, &ids);
    let mut alone = PolicyTable::default();
    let mut plain = plain;
    alone.add(PolicyId(1), &PolicySpec::Base, &mut plain).unwrap();
    assert_near(&score(&mut alone, &plain, &ids), &with_adapter);
}

/// Copies the fixture, changes it, and says how loading fails.
fn fault(change: impl FnOnce(&Path)) -> LoraError {
    let folder = tempfile::tempdir().unwrap();
    for name in [ADAPTER_CONFIG, ADAPTER_WEIGHTS] {
        std::fs::copy(fixture().join(name), folder.path().join(name)).unwrap();
    }
    change(folder.path());
    load_adapter(folder.path(), decoder().config(), Placement::EXACT).unwrap_err()
}

fn with_setting(key: &str, value: serde_json::Value) -> LoraError {
    fault(|folder| {
        let path = folder.join(ADAPTER_CONFIG);
        let mut config: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        config[key] = value;
        std::fs::write(path, config.to_string()).unwrap();
    })
}

#[test]
fn settings_that_mean_something_else_are_refused() {
    use serde_json::json;
    for (key, value) in [
        ("use_dora", json!(true)),
        ("rank_pattern", json!({"q_proj": 8})),
        ("modules_to_save", json!(["lm_head"])),
        ("bias", json!("all")),
        ("peft_type", json!("IA3")),
        ("fan_in_fan_out", json!(true)),
    ] {
        let error = with_setting(key, value);
        assert!(matches!(error, LoraError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(key), "{error}");
    }
    assert!(matches!(with_setting("target_modules", json!(["q_proj", "c_attn"])), LoraError::UnknownTarget { .. }));
    assert!(matches!(with_setting("r", json!(0)), LoraError::Setting { key: "rank", .. }));
    assert!(matches!(with_setting("r", json!("four")), LoraError::Damaged { .. }));
}

#[test]
fn weights_that_do_not_fit_name_file_and_tensor() {
    use serde_json::json;
    let q = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    let error = with_setting("r", json!(8));
    assert!(matches!(&error, LoraError::WrongShape { tensor, .. } if tensor == q), "{error}");
    let error = with_setting("target_modules", json!(["q_proj", "v_proj", "o_proj", "down_proj", "up_proj"]));
    assert!(matches!(&error, LoraError::MissingTensor { tensor, .. } if tensor.contains("up_proj")), "{error}");
    let error = with_setting("target_modules", json!(["q_proj", "v_proj", "o_proj"]));
    assert!(matches!(&error, LoraError::StrayTensor { tensor, .. } if tensor.contains("down_proj")), "{error}");
}

#[test]
fn a_small_file_cannot_ask_for_much_memory() {
    let folder = tempfile::tempdir().unwrap();
    let config = r#"{"peft_type": "LORA", "r": 16384, "lora_alpha": 1.0, "target_modules": "all-linear"}"#;
    std::fs::write(folder.path().join(ADAPTER_CONFIG), config).unwrap();
    std::fs::copy(fixture().join(ADAPTER_WEIGHTS), folder.path().join(ADAPTER_WEIGHTS)).unwrap();
    // its factors would take some 20 GiB, and be drawn for a minute
    let (large, _) = parse("random:qwen2.5-1.5b").unwrap();
    let begun = std::time::Instant::now();
    let error = load_adapter(folder.path(), &large, Placement::EXACT).unwrap_err();
    assert!(matches!(&error, LoraError::WrongShape { expected, .. } if *expected == [16384, 1536]), "{error}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn shapes_and_bytes_are_known_before_an_adapter_is_made() {
    let (model, _) = parse("random:llama").unwrap();
    let targets = Targets::parse(&["q_proj", "up_proj", "lm_head"]).unwrap();
    let config = LoraConfig { rank: 3, targets, ..LoraConfig::default() };
    for placement in [Placement::EXACT, Placement::FAST] {
        let adapter = LoraAdapter::new(&config, &model, placement, 1).unwrap();
        assert_eq!(LoraAdapter::count_bytes(&config, &model, placement.kind), adapter.bytes(), "{placement:?}");
        let sizes = |tensor: &Tensor| tensor.size().iter().map(|&size| size as usize).collect::<Vec<_>>();
        let made = adapter.named_factors().into_iter().map(|(layer, own, a, b)| (layer, own, sizes(&a), sizes(&b)));
        let told = LoraAdapter::shapes(&config, &model).into_iter();
        let told = told.map(|(layer, own, a, b)| (layer, own, a.to_vec(), b.to_vec()));
        assert_eq!(told.collect::<Vec<_>>(), made.collect::<Vec<_>>());
    }
}

#[test]
#[cfg(unix)]
fn files_are_as_readable_as_any_other_of_the_user() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let (model, _) = parse("random:llama").unwrap();
    let adapter = LoraAdapter::new(&LoraConfig::default(), &model, Placement::EXACT, 1).unwrap();
    save_adapter(&adapter, folder.path(), None).unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    for name in [ADAPTER_CONFIG, ADAPTER_WEIGHTS] {
        assert_eq!(mode(&folder.path().join(name)), mode(&plain), "{name}");
    }
}

#[test]
fn damaged_and_missing_files_are_errors() {
    for keep in [0, 7, 100, 19_000] {
        let error = fault(|folder| {
            let path = folder.join(ADAPTER_WEIGHTS);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(path, &bytes[..keep]).unwrap();
        });
        assert!(matches!(error, LoraError::Damaged { .. }), "{keep}: {error}");
    }
    let error = fault(|folder| std::fs::remove_file(folder.join(ADAPTER_WEIGHTS)).unwrap());
    assert!(matches!(error, LoraError::File { doing: "read", .. }), "{error}");
    let error = fault(|folder| std::fs::write(folder.join(ADAPTER_CONFIG), "{").unwrap());
    assert!(matches!(error, LoraError::Damaged { .. }), "{error}");
}

#[test]
fn a_weight_that_is_no_number_is_refused() {
    let error = fault(|folder| {
        let model = decoder();
        let config = LoraConfig {
            rank: 4,
            alpha: 6.0,
            rslora: true,
            targets: Targets::parse(&["q_proj", "v_proj", "o_proj", "down_proj"]).unwrap(),
            ..LoraConfig::default()
        };
        let adapter = LoraAdapter::new(&config, model.config(), Placement::EXACT, 1).unwrap();
        let _ = adapter.parameters()[0].detach().narrow(0, 0, 1).fill_(f64::INFINITY);
        save_adapter(&adapter, folder, None).unwrap();
    });
    assert!(matches!(&error, LoraError::BadTensor { tensor, .. } if tensor.contains("q_proj")), "{error}");
}

#[test]
fn a_save_leaves_the_old_adapter_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut decoder = decoder();
    let table = trained(&mut decoder, folder.path());
    table.save(PolicyId(1), folder.path(), None).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [ADAPTER_CONFIG, ADAPTER_WEIGHTS, "optimizer.safetensors"], "no temporary file stays");
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let error = table.save(PolicyId(1), &blocked.join("below"), None).unwrap_err();
    assert!(error.to_string().contains("below"), "{error}");
}
