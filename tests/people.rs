//! Runs in which a person speaks for an agent: what was answered is never asked again.

use std::process::Command;

use crate::home::{Home, TEAM};
use crate::models::fed;
use crate::program::marft;

fn home() -> Home {
    let home = Home::new();
    home.write("team.toml", &format!("{TEAM}\n[policies.first]\nkind = \"human\"\n"));
    home
}

fn train(home: &Home, more: &[&str]) -> Command {
    let mut command = marft(["train", "run.toml", "--out", "out", "--set", "train.steps=2", "--set", "eval.every=0"]);
    command.args(more).env("OMP_NUM_THREADS", "1").current_dir(home.path(""));
    command
}

/// Answers to `count` questions, no two alike.
fn typed(count: usize) -> String {
    (0..count).map(|number| format!("e, says number {number}\n\n")).collect()
}

fn episodes(home: &Home, step: u64) -> Vec<marft_engine::episode::EpisodeRecord> {
    marft_engine::episode::read(&home.path(&format!("out/episodes/{step:06}.jsonl.zst"))).unwrap()
}

#[test]
fn what_a_person_said_is_replayed_and_not_asked_again() {
    let home = home();
    // six tasks in each of two steps; four in the evaluations before and after
    let run = fed(&mut train(&home, &[]), &typed(20));
    assert_eq!(run.code(), Some(0), "{run}");
    let record = std::fs::read_to_string(home.path("out/human.jsonl")).unwrap();
    assert_eq!(record.lines().count(), 20, "{record}");

    // nobody is at the terminal any more
    let before = episodes(&home, 2);
    let out = home.path("out").display().to_string();
    for number in [0, 5] {
        let run = fed(&mut marft(["replay", &out, "--episode", &before[number].id]), "");
        assert!(run.code() == Some(0) && run.stdout().contains("the same, token for token"), "{run}");
        assert!(run.stdout().contains("says number"), "{run}");
    }
    // as after a kill in the last step
    std::fs::remove_dir_all(home.path("out/checkpoints/2")).unwrap();
    let run = fed(&mut train(&home, &["--resume"]), "");
    assert_eq!(run.code(), Some(0), "{run}");
    for (one, other) in before.iter().zip(&episodes(&home, 2)) {
        assert_eq!(one.first_difference(other), None);
    }
    assert_eq!(std::fs::read_to_string(home.path("out/human.jsonl")).unwrap(), record, "nothing is recorded twice");
}

#[test]
fn a_step_that_was_cut_short_asks_for_the_rest_only() {
    let home = home();
    let quiet = ["--set", "eval.before=false", "--set", "train.steps=1", "--set", "eval.tasks=1"];
    // three of six answers, and the input ends: the person went away
    let run = fed(&mut train(&home, &quiet), &typed(3));
    assert_eq!(std::fs::read_to_string(home.path("out/human.jsonl")).unwrap().lines().count(), 3, "{run}");
    assert_eq!(episodes(&home, 1).iter().filter(|record| record.faults.is_empty()).count(), 3);
    // as after a kill before the first checkpoint
    std::fs::remove_dir_all(home.path("out/checkpoints")).unwrap();
    let run = fed(&mut train(&home, &[&quiet[..], &["--resume"]].concat()), &typed(4));
    assert_eq!(run.code(), Some(0), "{run}");
    assert!(episodes(&home, 1).iter().all(|record| record.faults.is_empty()));
    assert_eq!(std::fs::read_to_string(home.path("out/human.jsonl")).unwrap().lines().count(), 7);
}
