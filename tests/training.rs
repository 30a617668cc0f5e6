//! Training through the command line: what comes out, killed runs that go on, and wrong input.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::program::marft;

const TEAM: &str = include_str!("../engine/tests/fixtures/pair/team.toml");

const RUN: &str = include_str!("../engine/tests/fixtures/pair/run.toml");

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        std::fs::write(home.path("team.toml"), TEAM).unwrap();
        std::fs::write(home.path("run.toml"), RUN).unwrap();
        let row = |i: u32| serde_json::json!({"id": i.to_string(), "question": format!("q{i}"), "answer": "e"});
        let rows: Vec<String> = (0..30).map(|i| row(i).to_string()).collect();
        std::fs::write(home.path("tasks.jsonl"), rows.join("\n")).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn train(&self, out: &str, more: &[&str]) -> std::process::Command {
        let mut command = marft(["train"]);
        command.arg(self.path("run.toml")).arg("--out").arg(self.path(out));
        // what is killed here computes in the narrower type, and takes longer
        command.args(["--set", "model.dtype=bf16", "--set", "train.steps=6"]).args(more).env("OMP_NUM_THREADS", "1");
        command
    }
}

/// Weights, optimisers and state of a checkpoint, by name.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(now) = open.pop() {
        for entry in std::fs::read_dir(now).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().unwrap() != "manifest.json" {
                all.insert(path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    all
}

#[test]
fn a_killed_run_goes_on_bit_for_bit() {
    let home = Home::new();
    let whole = home.train("whole", &[]).output().unwrap();
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));

    let mut killed = home.train("killed", &[]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(2);
    while !home.path("killed/checkpoints/2").is_dir() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let resumed = home.train("killed", &["--resume"]).output().unwrap();
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));

    let (whole, killed) = (contents(&home.path("whole/checkpoints/6")), contents(&home.path("killed/checkpoints/6")));
    assert!(whole.len() >= 6, "{:?}", whole.keys());
    for (name, bytes) in &whole {
        assert!(killed.get(name) == Some(bytes), "{} differs", name.display());
    }
}

#[test]
fn a_run_can_be_evaluated_reported_and_replayed() {
    let home = Home::new();
    assert!(home.train("out", &["--set", "train.steps=2"]).status().unwrap().success());
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
    let told = home.train("out", &["--dry-run"]).output().unwrap();
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
    std::fs::write(home.path("run.toml"), wrong).unwrap();
    let told = home.train("out", &[]).output().unwrap();
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
    assert!(home.train("out", &["--set", "train.steps=1"]).status().unwrap().success());
    let told = home.train("out", &[]).output().unwrap();
    let text = String::from_utf8(told.stderr).unwrap();
    assert!(text.contains("holds a run already") && text.contains("--resume"), "{text}");
}
