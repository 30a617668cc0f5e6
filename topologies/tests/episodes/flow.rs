//! The primitives one by one: what is said, by whom, and why it ends.

use marft_topologies::turns::{EndReason, Event, Silence, Task};

use super::{Drive, team};

#[test]
fn a_duo_speaks_in_order_and_hears_itself() {
    let plan = team(
        r#"
        [team]
        name = "duo"
        [agents.reasoner]
        role = "Plan."
        [agents.actor]
        role = "Act."
        sees = ["task", "reasoner"]
        output = { answer = "<answer>(.*?)</answer>" }
        "#,
    );
    let run = Drive::run(&plan, Task::text("2+2?"), |name, _, _| match name {
        "reasoner" => "<think>secret</think>Add them.".into(),
        _ => "<answer>4</answer>".into(),
    });
    assert_eq!(run.speakers(), ["reasoner", "actor"]);
    assert_eq!(run.shown[1].1.user, "2+2?\n\nreasoner: Add them.");
    assert_eq!(run.shown[1].1.system, "Act.");
    assert_eq!(run.output(), Some("<answer>4</answer>"));
    assert_eq!(run.turns.output().unwrap().fields["answer"], "4");
    assert_eq!(*run.end(), EndReason::Rounds);
}

#[test]
fn debaters_hear_exactly_the_rounds_before() {
    let plan = team(
        r#"
        [team]
        name = "debate"
        rounds = { max = 3 }
        output = ["vote"]
        [agents.debater]
        role = "Debate."
        count = 3
        sees = ["task", "debater@-1"]
        [functions.vote]
        op = "majority"
        sees = ["debater"]
        "#,
    );
    let run = Drive::run(&plan, Task::text("q"), |name, turn, _| format!("{name} in {}", turn.round));
    assert_eq!(run.calls, 9);
    let last = &run.shown[8].1.user;
    assert_eq!(last, "debater[0]: debater[0] in 1\n\ndebater[1]: debater[1] in 1");
    assert_eq!(run.shown[0].1.user, "q");
    assert_eq!(run.shown[8].1.continues.map(|turn| run.turns.turn(turn).round), Some(1));
    assert_eq!(run.output(), Some("debater[0] in 2"));
}

#[test]
fn guards_close_paths_and_silence_spreads() {
    let plan = team(
        r#"
        [team]
        name = "guarded"
        output = ["last"]
        [agents.a]
        role = "r"
        [agents.b]
        role = "r"
        sees = []
        [agents.c]
        role = "r"
        sees = ["b"]
        [agents.last]
        role = "r"
        sees = ["a", "c"]
        [[edges]]
        from = "a"
        to = "b"
        when = "message.text.contains('go')"
        "#,
    );
    let stopped = Drive::run(&plan, Task::text("q"), |_, _, _| "stop".into());
    assert_eq!(stopped.speakers(), ["a", "last"]);
    let skipped = stopped.events.iter().filter(|event| matches!(event, Event::Skipped { why: Silence::DeadPath, .. }));
    assert_eq!(skipped.count(), 2);
    assert_eq!(Drive::run(&plan, Task::text("q"), |_, _, _| "go".into()).speakers(), ["a", "b", "c", "last"]);
}
