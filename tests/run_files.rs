//! The run files of the examples: each passes the dry run, as it stands or with headlines made up on the spot.

use std::path::{Path, PathBuf};

use marft_engine::task::{SplitRule, Splits, Task};
use serde_json::{Value, json};

use crate::program::marft;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// The run files of a folder, by name: those that are not team files.
fn run_files(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_run = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "toml")
            && !std::fs::read_to_string(path).unwrap().lines().any(|line| line == "[team]")
    };
    let mut files: Vec<PathBuf> = paths.filter(is_run).collect();
    files.sort();
    files
}

/// Dry-runs all run files of `folder`; what they say, one after the other.
fn dry_run(folder: &Path) -> Vec<String> {
    let told = run_files(folder).into_iter().map(|file| {
        // of the model's shape, but made up: the tests need no download
        let told =
            marft(["train", "--dry-run", "--set", "model.base=random:smollm2-135m"]).arg(&file).output().unwrap();
        assert!(told.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&told.stderr));
        String::from_utf8(told.stdout).unwrap()
    });
    told.collect()
}

fn write_lines(path: &Path, rows: impl Iterator<Item = Value>) {
    let lines: Vec<String> = rows.map(|row| row.to_string()).collect();
    std::fs::write(path, lines.join("\n")).unwrap();
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
    let headline = |i: u32| {
        let label = if i.is_multiple_of(2) { "news" } else { "satire" };
        let row = json!({"headline": format!("area man counts to {i}"), "label": label});
        Task { id: i.to_string(), fields: row.as_object().unwrap().clone() }
    };
    let rule = SplitRule::Hash { by: "headline".to_owned(), held_out: 0.2 };
    let splits = Splits::of((0..40).map(headline).collect(), &rule).unwrap();
    let shown =
        |says: fn(&Task) -> Value| splits.train.iter().map(move |task| json!({"id": task.id, "says": says(task)}));
    let duo = shown(|task| json!({"reader": "plain report", "judge": task.text("label")}));
    write_lines(&home.path().join("demonstrations.jsonl"), duo);
    let alone = shown(|task| json!({"judge": task.text("label")}));
    write_lines(&home.path().join("alone-demonstrations.jsonl"), alone);
    let tasks = splits.train.iter().chain(&splits.held_out).map(|task| {
        let mut row = task.fields.clone();
        row.insert("id".to_owned(), task.id.clone().into());
        Value::Object(row)
    });
    write_lines(&home.path().join("tasks.jsonl"), tasks);
    assert_eq!(dry_run(home.path()).len(), 4);
}
