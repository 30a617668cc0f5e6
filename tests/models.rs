//! `marft model` and `marft score`, with random models and a broken one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use marft::agents::generate::PolicyId;
use marft::agents::lora::{LoraConfig, Targets};
use marft::agents::model::{Decoder, Placement, random};
use marft::agents::train::{LossFn, OptimizerConfig, PassOptions, PolicySpec, PolicyTable, TrainSequence};
use serde_json::Value;

use crate::program::{Run, marft};

const TINY: &str = "random:llama,seed=3";

/// A run with `input` on its stdin.
pub(crate) fn fed(command: &mut Command, input: &str) -> Run {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    Run::of(command.stdin(Stdio::from(file)))
}

#[test]
fn score_writes_one_line_for_each_line() {
    let input =
        "{\"tokens\": [5, 9, 250]}\n\n{\"tokens\": [7]}\n{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}\n";
    let run = fed(&mut marft(["score", "--model", TINY, "--format", "json"]), input);
    assert_eq!((run.code(), run.stderr()), (Some(0), ""), "{run}");
    let lines: Vec<Value> = run.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{run}");
    assert_eq!(lines[0]["tokens"], serde_json::json!([5, 9, 250]));
    assert_eq!(lines[1]["logprobs"], serde_json::json!([]));
    // <|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n
    assert_eq!(lines[2]["tokens"].as_array().unwrap().len(), 21);
    for line in &lines {
        let (tokens, scores) = (line["tokens"].as_array().unwrap(), line["logprobs"].as_array().unwrap());
        assert_eq!(scores.len(), tokens.len() - 1);
        assert!(scores.iter().all(|score| score.as_f64().unwrap() < 0.0), "{run}");
    }
}

#[test]
fn score_says_which_line_it_cannot_score_and_why() {
    for (line, words) in [
        ("{\"tokens\": [1, 320]}", "token 320 is outside the vocabulary of 320"),
        ("{\"tokens\": [1], \"messages\": []}", "it needs either `tokens` or `messages`"),
        ("{\"token\": [1]}", "unknown field `token`"),
        ("[1, 2", "it is not such an object"),
        ("{\"messages\": [{\"content\": 1}]}", "the chat template refused the conversation"),
    ] {
        let run = fed(&mut marft(["score", "--model", TINY]), &format!("{{\"tokens\": [1, 2]}}\n{line}\n"));
        assert_eq!(run.code(), Some(1), "{run}");
        assert_eq!(run.stdout().lines().count(), 1, "the first line was scored: {run}");
        assert!(run.stderr().contains("cannot score line 2") && run.stderr().contains(words), "{run}");
    }
}

#[test]
fn a_model_that_is_not_there_comes_with_a_hint() {
    let cache = tempfile::tempdir().unwrap();
    let run = Run::of(marft(["model", "show", "smollm2-135m-instruct"]).env("XDG_CACHE_HOME", cache.path()));
    insta::assert_snapshot!(run, @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: cannot open the model `smollm2-135m-instruct`
      caused by: the model `smollm2-135m-instruct` is not in the cache
    hint: run `marft model pull smollm2-135m-instruct`
    ");
    let run = Run::of(marft(["model", "show", "no-such-model"]).env("XDG_CACHE_HOME", cache.path()));
    assert!(run.code() == Some(1) && run.stderr().contains("hint: `marft model list`"), "{run}");
}

#[test]
fn list_and_show_answer_in_json() {
    let cache = tempfile::tempdir().unwrap();
    let run = Run::of(marft(["model", "list", "--format", "json"]).env("XDG_CACHE_HOME", cache.path()));
    let listed: Value = serde_json::from_str(run.stdout()).unwrap();
    assert!(listed.as_array().unwrap().iter().all(|model| model["installed"] == false), "{run}");
    let run = Run::of(&mut marft(["model", "show", "random:smollm2-135m", "--format", "json"]));
    let shown: Value = serde_json::from_str(run.stdout()).unwrap();
    assert_eq!((&shown["parameters"], &shown["architecture"]), (&134_515_008.into(), &"llama".into()), "{run}");
    // the packed copies are those of 30 layers, and of the head, which is the embedding table
    let bytes = |key: &str| shown[key].as_u64().unwrap();
    assert_eq!(bytes("bytes_bf16_packed") - bytes("bytes_bf16"), (134_515_008 - 61 * 576) * 2, "{run}");
}

/// Scores of the tiny model, with the adapter in a folder or without.
fn scores(adapter: Option<&Path>, dtype: &str) -> Vec<f32> {
    let mut command = marft(["score", "--model", TINY, "--dtype", dtype]);
    if let Some(folder) = adapter {
        command.arg("--adapter").arg(folder);
    }
    let run = fed(&mut command, "{\"tokens\": [5, 9, 250, 17, 3, 88]}\n");
    assert_eq!((run.code(), run.stderr()), (Some(0), ""), "{run}");
    let line: Value = serde_json::from_str(run.stdout()).unwrap();
    serde_json::from_value(line["logprobs"].clone()).unwrap()
}

#[test]
fn score_reads_the_adapter_that_training_has_saved() {
    let folder = tempfile::tempdir().unwrap();
    let (fresh, trained) = (folder.path().join("fresh"), folder.path().join("trained"));
    let (config, seed) = random::parse(TINY).unwrap();
    let mut decoder = Decoder::load(&config, &random::RandomSource::new(&config, seed), Placement::EXACT).unwrap();
    let mut table = PolicyTable::default();
    let lora = LoraConfig { rank: 4, targets: Targets::AllLinear, ..LoraConfig::default() };
    let optimizer = Some(OptimizerConfig { lr: 1e-2, ..OptimizerConfig::default() });
    table.add(PolicyId(0), &PolicySpec::Lora { lora, optimizer, seed: 1 }, &mut decoder).unwrap();
    table.save(PolicyId(0), &fresh, Some(TINY)).unwrap();
    let sequence = TrainSequence::from_token(PolicyId(0), vec![5, 9, 250, 17, 3, 88], 1);
    for _ in 0..3 {
        let likelier: LossFn = Box::new(|outputs| Ok(-outputs.logprobs.sum(tch::Kind::Float)));
        table.accumulate(&decoder, std::slice::from_ref(&sequence), PassOptions::default(), likelier).unwrap();
        table.update(PolicyId(0)).unwrap();
    }
    table.save(PolicyId(0), &trained, Some(TINY)).unwrap();
    let want = table.score(&decoder, &[sequence], PassOptions::default()).unwrap().remove(0).logprobs;

    let base = scores(None, "f32");
    assert_eq!(scores(Some(&fresh), "f32"), base, "a fresh adapter is its base");
    let got = scores(Some(&trained), "f32");
    assert!(got.iter().sum::<f32>() > base.iter().sum::<f32>() + 1.0, "{got:?} {base:?}");
    assert!(got.iter().zip(&want).all(|(got, want)| (got - want).abs() < 1e-5), "{got:?} {want:?}");
    let narrow = scores(Some(&trained), "bf16");
    assert!(narrow.iter().zip(&want).all(|(got, want)| (got - want).abs() < 0.2), "{narrow:?} {want:?}");
}

#[test]
fn an_adapter_that_does_not_fit_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let run = fed(marft(["score", "--model", TINY]).arg("--adapter").arg(folder.path()), "");
    assert!(run.code() == Some(1) && run.stderr().contains("adapter_config.json"), "{run}");
}

#[test]
fn score_answers_a_line_before_the_next_one_comes() {
    let mut scorer = marft(["score", "--model", TINY]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (scorer.stdin.take().unwrap(), BufReader::new(scorer.stdout.take().unwrap()));
    let (told, scores) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for _ in 0..2 {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            told.send(line).unwrap();
        }
    });
    for tokens in ["[5, 9]", "[5, 9, 250]"] {
        writeln!(input, "{{\"tokens\": {tokens}}}").unwrap();
        let line = scores.recv_timeout(std::time::Duration::from_mins(1)).expect("the line waits in a buffer");
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["tokens"], serde_json::from_str::<Value>(tokens).unwrap());
    }
    drop(input);
    assert!(scorer.wait().unwrap().success());
}

#[test]
fn tokens_are_scored_without_a_tokenizer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("agents/tests/fixtures/hf_folder");
    let input = "{\"tokens\": [1, 2, 3]}\n{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}\n";
    let run = fed(marft(["score", "--model"]).arg(&folder), input);
    assert_eq!((run.code(), run.stdout().lines().count()), (Some(1), 1), "{run}");
    assert!(run.stderr().contains("cannot score line 2") && run.stderr().contains("tokenizer.json"), "{run}");
}

#[test]
fn a_conversation_may_outgrow_the_context_and_goes_on() {
    let line = format!("{}\n", "word ".repeat(120));
    let input = format!("{}{}hi\n", line.repeat(4), line.repeat(4).replace('\n', " ") + "\n");
    let run = fed(&mut marft(["play", "--model", TINY, "--max-tokens", "8", "--temperature", "0"]), &input);
    assert_eq!(run.code(), Some(0), "{run}");
    assert!(run.stderr().contains("messages are forgotten"), "{run}");
    assert!(run.stderr().contains("this message is too long for the 2048 tokens"), "{run}");
    assert!(run.stderr().contains("was cut after 8 tokens; --max-tokens"), "{run}");
}

#[test]
fn numbers_that_nothing_can_be_done_with_are_refused_at_once() {
    for (command, words) in [
        (vec!["play", "--model", TINY, "--max-tokens", "0"], "0 is not in 1.."),
        (vec!["play", "--model", TINY, "--temperature", "-1"], "`temperature` is -1"),
        (vec!["play", "--model", TINY, "--top-p", "1.5"], "`top_p` is 1.5"),
        (vec!["bench", "generate", "--rows", "64,0"], "0 is not in 1.."),
        (vec!["bench", "generate", "--new", "0"], "0 is not in 1.."),
        (vec!["bench", "train", "--new", "0"], "0 is not in 1.."),
        (vec!["bench", "train", "--policies", "0"], "0 is not in 1.."),
        (vec!["bench", "step", "--repeats", "0"], "0 is not in 1.."),
        (vec!["bench", "schedule", "--agents", "0"], "0 is not in 1.."),
    ] {
        let run = Run::of(marft([]).args(&command));
        assert!(run.code() == Some(2) && run.stderr().contains(words), "{command:?}: {run}");
    }
}

#[test]
fn a_hub_that_cannot_be_reached_is_an_error_with_a_hint() {
    let cache = tempfile::tempdir().unwrap();
    let mut pull = marft(["model", "pull", "an-org/a-model"]);
    // Nobody listens on port 9 of this machine.
    let run = Run::of(
        pull.env("XDG_CACHE_HOME", cache.path()).env("HF_ENDPOINT", "http://127.0.0.1:9").env_remove("HF_HUB_OFFLINE"),
    );
    assert_eq!(run.code(), Some(1), "{run}");
    assert!(run.stderr().contains("`http://127.0.0.1:9` cannot be reached"), "{run}");
    assert!(run.stderr().contains("hint: a local folder"), "{run}");
    let run = Run::of(pull.env("HF_HUB_OFFLINE", "1"));
    assert!(run.code() == Some(1) && run.stderr().contains("HF_HUB_OFFLINE is set"), "{run}");
}
