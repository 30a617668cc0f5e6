//! Training through the command line: what comes out, killed runs that go on, and wrong input.

use std::time::{Duration, Instant};

use crate::program::marft;

#[path = "../engine/tests/fixtures/pair/home.rs"]
mod home;

use home::{Home, RUN, contents};

/// Training in the folder, as one types it there.
fn train(home: &Home, out: &str, more: &[&str]) -> std::process::Command {
    let mut command = marft(["train", "run.toml", "--out", out]);
    // what is killed here computes in the narrower type, and takes longer
    command.args(["--set", "model.dtype=bf16", "--set", "train.steps=6"]).args(more).env("OMP_NUM_THREADS", "1");
    command.current_dir(home.path(""));
    command
}

#[test]
fn a_killed_run_goes_on_bit_for_bit() {
    let home = Home::new();
    let whole = train(&home, "whole", &[]).output().unwrap();
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));

    let mut killed = train(&home, "killed", &[]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(2);
    while !home.path("killed/checkpoints/2").is_dir() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let resumed = train(&home, "killed", &["--resume"]).output().unwrap();
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));

    let (whole, killed) = (contents(&home.path("whole/checkpoints/6")), contents(&home.path("killed/checkpoints/6")));
    assert!(whole.len() >= 6, "{:?}", whole.keys());
    for (name, bytes) in &whole {
        assert!(killed.get(name) == Some(bytes), "{name} differs");
    }
}

#[test]
fn a_run_can_be_evaluated_reported_and_replayed() {
    let home = Home::new();
    assert!(train(&home, "out", &["--set", "train.steps=2"]).status().unwrap().success());
    // from another folder than the one in which it was begun
    let out = home.path("out").display().to_string();

    let found = marft(["eval", out.as_str(), "--format", "json"]).output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!((found["step"].as_u64(), found["score"]["observations"].as_u64()), (Some(2), Some(4)));

    let curve = home.path("curve.svg");
    let told = marft(["report", out.as_str(), "--svg"]).arg(&curve).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("held out") && told.contains("before"), "{told}");
    assert!(std::fs::read_to_string(curve).unwrap().starts_with("<svg"));

    let episodes = marft_engine::episode::read(&home.path("out/episodes/000002.jsonl.zst")).unwrap();
    let again = marft(["replay", out.as_str(), "--episode", episodes[0].id.as_str()]).output().unwrap();
    let again = String::from_utf8(again.stdout).unwrap();
    assert!(again.contains("the same, token for token"), "{again}");
}

#[test]
fn a_dry_run_says_what_it_would_do_and_writes_nothing() {
    let home = Home::new();
    let told = train(&home, "out", &["--dry-run"]).output().unwrap();
    let text = String::from_utf8(told.stdout).unwrap();
    for part in ["stage rl: 6 steps", "agent second learns as second", "key-value cache", "at most 2 calls"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!home.path("out").exists());
}

#[test]
fn all_problems_of_a_run_file_come_at_once() {
    let home = Home::new();
    let wrong = RUN.replace("steps = 4", "stepz = 4").replace("tasks = 6", "tasks = \"six\"");
    home.write("run.toml", &wrong);
    let told = train(&home, "out", &[]).output().unwrap();
    let text = String::from_utf8(told.stderr).unwrap();
    assert_eq!(told.status.code(), Some(1));
    assert!(
        text.contains("unknown key `stepz`") && text.contains("did you mean `steps`") && text.contains("2 problems"),
        "{text}"
    );
}

#[test]
fn an_occupied_folder_is_refused_with_a_hint() {
    let home = Home::new();
    assert!(train(&home, "out", &["--set", "train.steps=1"]).status().unwrap().success());
    let told = train(&home, "out", &[]).output().unwrap();
    let text = String::from_utf8(told.stderr).unwrap();
    assert!(text.contains("holds a run already") && text.contains("--resume"), "{text}");
}
