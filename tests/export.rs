//! `marft export`: what comes out speaks as what was trained, and wrong input.

use std::path::Path;

use marft::agents::generate::PolicyId;
use marft::agents::model::{Decoder, Placement, random};
use marft::agents::train::{OptimizerConfig, PolicySpec, PolicyTable};
use serde_json::Value;

use crate::home::{Home, RUN, contents};
use crate::models::fed;
use crate::program::{Run, marft};

const TOKENS: &str = "{\"tokens\": [5, 9, 250, 17, 3, 88]}\n";

/// A run of two steps in `out`.
fn train(home: &Home, set: &[&str]) -> Run {
    let mut command =
        marft(["train", "run.toml", "--out", "out", "--set", "train.steps=2", "--set", "eval.before=false"]);
    command.args(["--set", "eval.every=0"]).args(set.iter().flat_map(|set| ["--set", set]));
    let run = Run::of(command.env("OMP_NUM_THREADS", "1").current_dir(home.path("")));
    assert_eq!(run.code(), Some(0), "{run}");
    run
}

/// An export to `model`, away from the folder in which the run was begun.
fn export(from: &Path, home: &Home, more: &[&str]) -> Run {
    Run::of(marft(["export"]).arg(from).arg("--out").arg(home.path("model")).args(more))
}

fn scores(model: &str, more: &[&str]) -> Vec<f32> {
    let run = fed(marft(["score", "--model", model]).args(more), TOKENS);
    assert_eq!((run.code(), run.stderr()), (Some(0), ""), "{run}");
    let line: Value = serde_json::from_str(run.stdout()).unwrap();
    serde_json::from_value(line["logprobs"].clone()).unwrap()
}

fn assert_near(got: &[f32], want: &[f32]) {
    assert!(
        got.len() == want.len() && got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-5),
        "{got:?} {want:?}"
    );
}

fn config(home: &Home) -> Value {
    serde_json::from_str(&std::fs::read_to_string(home.path("model/config.json")).unwrap()).unwrap()
}

#[test]
fn an_exported_adapter_speaks_as_base_and_adapter_do() {
    let home = Home::new();
    // a change of some size, on the head too, which the base ties to its embedding
    train(&home, &["model.lora.targets=[\"q_proj\", \"down_proj\", \"lm_head\"]", "algorithm.learning_rate=0.02"]);
    let run = export(&home.path("out"), &home, &["--policy", "second"]);
    assert_eq!((run.code(), run.stderr()), (Some(0), ""), "{run}");
    let model = home.path("model").display().to_string();
    assert_eq!(run.stdout(), format!("{model}\n"));
    let adapter = home.path("out/checkpoints/2/second").display().to_string();
    let want = scores("random:llama", &["--adapter", &adapter]);
    assert_near(&scores(&model, &[]), &want);
    let base = scores("random:llama", &[]);
    assert!(base.iter().zip(&want).any(|(base, want)| (base - want).abs() > 1e-3), "{base:?} {want:?}");
    let told = config(&home);
    assert_eq!((&told["tie_word_embeddings"], &told["torch_dtype"]), (&false.into(), &"float32".into()));
    assert_eq!((&told["architectures"][0], &told["eos_token_id"]), (&"LlamaForCausalLM".into(), &257.into()));

    // a conversation is rendered by the template that came along
    let asked = "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}\n";
    let run = fed(&mut marft(["score", "--model", &model]), asked);
    assert!(run.stdout().contains("256"), "{run}");
}

#[test]
fn an_exported_base_is_the_one_that_was_trained() {
    let home = Home::new();
    let run = RUN.replace("[model.lora]\nrank = 2\n", "").replace("random:llama", "random:qwen3");
    home.write("run.toml", &run);
    let told = train(&home, &["model.weights=full"]);
    let command = "marft export out --out out/model";
    assert!(told.stdout().contains(command) && !told.stdout().contains("adapters"), "{told}");
    let checkpoint = home.path("out/checkpoints/2");
    let run = export(&checkpoint, &home, &[]);
    assert_eq!((run.code(), run.stderr()), (Some(0), ""), "{run}");

    // what training would go on from, read by the library
    let (shape, seed) = random::parse("random:qwen3").unwrap();
    let mut decoder = Decoder::load(&shape, &random::RandomSource::new(&shape, seed), Placement::EXACT).unwrap();
    let untrained = decoder.score(&[5, 9, 250, 17, 3, 88], None).unwrap();
    let mut table = PolicyTable::default();
    let spec = PolicySpec::Full { optimizer: OptimizerConfig::default() };
    table.add(PolicyId(0), &spec, &mut decoder).unwrap();
    table.load(PolicyId(0), &checkpoint.join("base"), None, &decoder).unwrap();
    let want = decoder.score(&[5, 9, 250, 17, 3, 88], None).unwrap();
    let model = home.path("model").display().to_string();
    assert_eq!(scores(&model, &[]), want, "bit for bit");
    assert_ne!(untrained, want);
    assert_eq!((&config(&home)["tie_word_embeddings"], &config(&home)["model_type"]), (&true.into(), &"qwen3".into()));

    std::fs::remove_dir_all(home.path("model")).unwrap();
    let run = export(&checkpoint, &home, &["--dtype", "bf16"]);
    assert_eq!((run.code(), &config(&home)["torch_dtype"]), (Some(0), &"bfloat16".into()), "{run}");
    let bytes = |name: &str| std::fs::metadata(home.path(name)).unwrap().len();
    assert!(bytes("model/model.safetensors") < 2 * shape.parameters() as u64 + 10_000);
}

#[test]
fn an_export_that_cannot_be_made_says_why_and_writes_nothing() {
    let home = Home::new();
    train(&home, &[]);
    let out = home.path("out");
    let before = contents(&out);
    let refused = |from: &Path, more: &[&str], words: &[&str]| {
        let run = export(from, &home, more);
        assert_eq!(run.code(), Some(1), "{run}");
        assert!(words.iter().all(|words| run.stderr().contains(words)), "{words:?}: {run}");
        assert!(!home.path("model").exists(), "{run}");
    };
    refused(&out, &[], &["holds 2 policies", "hint: choose one with --policy: first, second"]);
    refused(&out, &["--policy", "third"], &["has no policy `third`", "first, second"]);
    refused(&home.path(""), &[], &["neither the folder of a run nor a checkpoint", "hint:"]);
    refused(&home.path("nowhere"), &[], &["neither the folder of a run nor a checkpoint"]);
    refused(&home.path("out/checkpoints/9"), &[], &["neither the folder of a run nor a checkpoint"]);

    std::fs::create_dir(home.path("model")).unwrap();
    home.write("model/mine", "x");
    let run = export(&out, &home, &["--policy", "first"]);
    assert!(run.code() == Some(1) && run.stderr().contains("not an empty folder"), "{run}");
    assert_eq!(std::fs::read_dir(home.path("model")).unwrap().count(), 1);
    std::fs::remove_dir_all(home.path("model")).unwrap();

    assert!(contents(&out) == before, "a run is left as it was");
    let weights = home.path("out/checkpoints/2/first/adapter_model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(weights, bytes).unwrap();
    refused(&home.path("out/checkpoints/2"), &["--policy", "first"], &["SHA-256"]);
    let run = export(&out, &home, &["--policy", "first"]);
    assert!(run.code() == Some(0) && run.stderr().contains("passed over a damaged checkpoint"), "{run}");
}
