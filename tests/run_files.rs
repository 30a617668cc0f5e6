//! The run files of the examples: each passes the dry run, as it stands or with headlines made up on the spot.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::program::marft;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// The run files of a folder, by name.
fn run_files(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_run = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.ends_with(".toml") && !name.starts_with("team")
    };
    let mut files: Vec<PathBuf> = paths.filter(is_run).collect();
    files.sort();
    files
}

/// Dry-runs all run files of `folder`; what they say, one after the other.
fn dry_run(folder: &Path) -> Vec<String> {
    let told = run_files(folder).into_iter().map(|file| {
        let told = marft(["train", "--dry-run"]).arg(&file).env("OMP_NUM_THREADS", "1").output().unwrap();
        assert!(told.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&told.stderr));
        String::from_utf8(told.stdout).unwrap()
    });
    told.collect()
}

#[test]
fn the_relay_is_ready_to_run() {
    assert!(dry_run(&example("relay")).len() >= 3);
}

#[test]
fn the_maths_teams_are_ready_to_run() {
    let told = dry_run(&example("math_duo"));
    assert_eq!(told.len(), 6);
    assert!(told.iter().all(|told| told.contains("1123 tasks to train on, 377 held out")), "{told:?}");
}

#[test]
fn the_headlines_are_ready_to_run_once_fetched() {
    let home = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(example("headlines")).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|extension| extension == "toml") {
            std::fs::copy(entry.path(), home.path().join(entry.file_name())).unwrap();
        }
    }
    let (mut tasks, mut demonstrations) = (vec![], vec![]);
    for i in 0..40 {
        let (label, note) = if i % 2 == 0 { ("news", "plain report") } else { ("satire", "made-up joke") };
        let id = format!("{i:014x}");
        tasks.push(json!({"id": id, "headline": format!("area man counts to {i}"), "label": label}).to_string());
        demonstrations.push(json!({"id": id, "says": {"reader": note, "judge": label}}).to_string());
    }
    std::fs::write(home.path().join("tasks.jsonl"), tasks.join("\n")).unwrap();
    // the dry run does not ask which side of the split a demonstration stands on
    std::fs::write(home.path().join("demonstrations.jsonl"), demonstrations.join("\n")).unwrap();
    assert!(dry_run(home.path()).len() >= 2);
}
