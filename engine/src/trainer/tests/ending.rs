//! How runs end: when asked to, when a budget is spent, when nothing improves, and when something breaks.

use super::*;

#[test]
fn an_interrupt_finishes_the_step_and_saves() {
    let home = Home::new();
    let mut run = Run::open(home.trainer(&[("checkpoint.every", "100")]), &home.path("out"), false).unwrap();
    let stop = Stop::default();
    let asked = stop.clone();
    let mut interrupt = move |event: &Event<'_>| {
        if matches!(event, Event::Step { step: 2, .. }) {
            asked.request();
        }
    };
    assert_eq!(run.drive(&mut interrupt, &stop).unwrap(), End::Interrupted);
    assert!(home.path("out/checkpoints/2/state.json").is_file());
}

#[test]
fn a_disk_that_refuses_leaves_the_last_checkpoint_whole() {
    let home = Home::new();
    let mut run = Run::open(home.trainer(&[]), &home.path("out"), false).unwrap();
    let checkpoints = home.path("out/checkpoints");
    let mut break_disk = move |event: &Event<'_>| {
        // a file stands where the next checkpoint's folder has to be made
        if matches!(event, Event::Step { step: 2, .. }) {
            std::fs::write(checkpoints.join("2.unfinished"), "in the way").unwrap();
        }
    };
    let error = run.drive(&mut break_disk, &Stop::default()).unwrap_err();
    assert!(matches!(error, TrainerError::Checkpoint(_)), "{error}");
    drop(run);
    std::fs::remove_file(home.path("out/checkpoints/2.unfinished")).unwrap();
    let (end, _) = home.run("out", &[], true);
    assert_eq!(end, End::Complete);
}

#[test]
fn budgets_end_a_run() {
    let home = Home::new();
    for (limit, value, steps) in [("steps", "3", 3), ("episodes", "7", 2), ("tokens", "73", 2), ("seconds", "1e-9", 0)]
    {
        let key = format!("train.budget.{limit}");
        let (end, run) = home.run(limit, &[(&*key, value), ("eval.every", "0")], false);
        assert_eq!((end, run.trainer().state().step), (End::Budget(limit), steps));
        let rows = std::fs::read_to_string(home.path(limit).join("metrics.jsonl")).unwrap();
        let last: serde_json::Value = serde_json::from_str(rows.lines().last().unwrap()).unwrap();
        assert!(last["step"] == steps && last["eval/score"].is_number(), "evaluated at its end: {last}");
    }
}

#[test]
fn seconds_of_earlier_processes_count() {
    let home = Home::new();
    home.run("out", &[("train.budget.steps", "2")], false);
    let path = home.path("out/metrics.jsonl");
    let rows = std::fs::read_to_string(&path).unwrap();
    let mut rows: Vec<serde_json::Value> = rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    let last = rows.last_mut().unwrap();
    assert!(last["seconds/run"].as_f64().unwrap() >= last["seconds/learning"].as_f64().unwrap(), "{last}");
    last["seconds/run"] = 5000.0.into();
    std::fs::write(&path, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
    let (end, run) = home.run("out", &[("train.budget.seconds", "4000")], true);
    assert_eq!((end, run.trainer().state().step), (End::Budget("seconds"), 2));
}

#[test]
fn evaluations_that_no_longer_improve_end_a_run_and_the_best_is_kept() {
    let home = Home::new();
    let set = [
        ("train.steps", "40"),
        ("train.early_stop", "{ patience = 2 }"),
        ("checkpoint.every", "7"),
        ("checkpoint.keep", "1"),
    ];
    let (end, run) = home.run("out", &set, false);
    let best = run.trainer().state().best.unwrap().0;
    assert_eq!((end, run.trainer().state().step), (End::EarlyStop, best + 4));
    let mut kept: Vec<u64> = std::fs::read_dir(home.path("out/checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    kept.sort_unstable();
    assert_eq!(kept, [best, best + 4]);
}

#[test]
fn what_dynamic_sampling_leaves_out_is_spent_too() {
    let home = Home::new();
    home.write("run.toml", &RUN.replace("[model.critic]\nhidden = [8]\n", ""));
    let set = [("algorithm.preset", "dapo"), ("algorithm.max_sampling_rounds", "2"), ("algorithm.group_size", "2")];
    let more = [("reward.0.gold", "question"), ("train.steps", "1"), ("algorithm.max_completion_length", "6")];
    let set = [set.as_slice(), &more].concat();
    let (warned, run) = home.warned(&set);
    let state = run.trainer().state();
    // two rounds of six tasks, two episodes each, of which none was better than the other
    assert!(state.episodes == 24 && state.tokens > 24 * 6, "{state:?}");
    assert!(warned.contains(&Warning::NoSignal), "{warned:?}");
    let rows = std::fs::read_to_string(home.path("out/metrics.jsonl")).unwrap();
    let row: serde_json::Value = serde_json::from_str(rows.lines().last().unwrap()).unwrap();
    for (key, want) in [("episodes", 24.0), ("sampling/rounds", 2.0), ("sampling/thrown_away", 1.0)] {
        assert_eq!(row[key].as_f64(), Some(want), "{key}: {row}");
    }
    assert!(row["reward/total"].is_number() && row["tokens"].as_f64().unwrap() > 24.0 * 6.0, "{row}");
    assert_eq!(crate::episode::read(&home.path("out/episodes/000001.jsonl.zst")).unwrap().len(), 24);

    let mut starved = vec![];
    let mut listen = |event: &Event<'_>| {
        if let Event::Starved { step, sampling } = event {
            starved.push((*step, sampling.kept, sampling.wanted, sampling.rounds, sampling.episodes));
        }
    };
    let mut run = Run::open(home.trainer(&set), &home.path("again"), false).unwrap();
    run.drive(&mut listen, &Stop::default()).unwrap();
    assert_eq!(starved, [(1, 0, 6, 2, 0)]);
}

/// A penalty on length tells apart what is equally wrong; the rule may look at another term than the sum.
#[test]
fn dynamic_sampling_looks_at_the_term_that_it_is_told_to() {
    let home = Home::new();
    let long = "[[reward]]\nname = \"long\"\nkind = \"format\"\npattern = \"(?s).*[a-m].*\"\n\n[algorithm]";
    let run = RUN.replace("[model.critic]\nhidden = [8]\n", "").replace("[algorithm]", long);
    home.write("run.toml", &run);
    let set = [("algorithm.preset", "dapo"), ("algorithm.group_size", "4"), ("reward.0.gold", "question")];
    let kept = |metric: &[(&str, &str)]| {
        let more = [("algorithm.max_sampling_rounds", "1"), ("rollout.tasks", "12")];
        let report = home.trainer(&[set.as_slice(), &more, metric].concat()).step().unwrap().unwrap();
        assert_eq!((report.records.len(), report.sampling.unwrap().rounds), (48, 1));
        report.sampling.unwrap().kept
    };
    assert!(kept(&[]) > 0, "some answers have such a letter");
    assert_eq!(kept(&[("algorithm.sampling_metric", "contains")]), 0, "and none is right");
}

#[test]
fn self_distillation_that_keeps_nothing_is_named() {
    let home = Home::new();
    let set = [("stages", "[{ kind = \"rft\", samples = 2, keep_above = 9.0 }]"), ("train.steps", "1")];
    home.write("run.toml", &RUN.replace("[model.critic]\nhidden = [8]\n", ""));
    let (warned, _) = home.warned(&set);
    assert_eq!(warned, [Warning::NothingKept]);
}

#[test]
fn weights_that_explode_end_the_run_with_what_helps() {
    let home = Home::new();
    let set = [("algorithm.learning_rate", "1e30"), ("train.steps", "40")];
    let mut run = Run::open(home.trainer(&set), &home.path("out"), false).unwrap();
    let error = run.drive(&mut Quiet, &Stop::default()).unwrap_err();
    assert!(matches!(error, TrainerError::Exploded { step: 2, .. }), "{error}");
    assert!(error.to_string().contains("agent `first`: the logits of its policy (version 1)"), "{error}");
    assert!(error.to_string().contains("; hint: lower the learning rate"), "{error}");
}

#[test]
fn losses_that_are_not_finite_are_dropped_named_and_at_last_too_many() {
    let home = Home::new();
    let paid = RUN.replace("kind = \"contains\"\ngold = \"answer\"", "kind = \"format\"\npattern = \"(?s).*\"");
    home.write("run.toml", &paid);
    let set = [
        ("model.critic.hidden", "[]"),
        ("algorithm.value_error", "mse"),
        ("algorithm.critic_learning_rate", "1e25"),
        ("train.max_bad_updates", "2"),
    ];
    let mut run = Run::open(home.trainer(&set), &home.path("out"), false).unwrap();
    let (mut warned, mut dropped) = (vec![], vec![]);
    let mut listen = |event: &Event<'_>| match event {
        Event::Warned { warning, .. } => warned.push(*warning),
        Event::Step { measures, .. } => dropped.push(measures.get("updates/dropped").unwrap()),
        _ => {}
    };
    let error = run.drive(&mut listen, &Stop::default()).unwrap_err();
    assert!(matches!(error, TrainerError::Diverged { updates: 3 }), "{error}");
    assert_eq!(dropped, [0.0, 1.0, 1.0]);
    assert!(warned.contains(&Warning::DroppedUpdates), "{warned:?}");
    let adapter =
        |step: u32| std::fs::read(home.path(&format!("out/checkpoints/{step}/first/adapter_model.safetensors")));
    assert!(adapter(1).unwrap() == adapter(3).unwrap(), "what is dropped moves nothing");
}

#[test]
fn an_evaluation_of_which_nothing_is_left_is_named_with_its_fault() {
    let home = Home::new();
    home.write("run.toml", &RUN.replace("kind = \"contains\"", "kind = \"numeric\""));
    let mut run = Run::open(home.trainer(&[]), &home.path("out"), false).unwrap();
    let mut told = vec![];
    let mut listen = |event: &Event<'_>| {
        if let Event::Unscored { step, fault } = event {
            told.push((*step, fault.clone()));
        }
    };
    let error = run.drive(&mut listen, &Stop::default()).unwrap_err();
    assert!(matches!(error, TrainerError::AllFaults { step: 1, episodes: 6, .. }), "{error}");
    assert_eq!(told, [(0, "the gold answer `e` is not a number".to_owned())]);
}
