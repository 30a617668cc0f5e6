//! Whole runs on a tiny random model: they end, learn, stop, and go on bit for bit.

use super::*;
use crate::metrics::Warning;
use crate::settings::file::load;

mod baselines;
#[path = "../../tests/fixtures/pair/home.rs"]
mod home;
mod learning;

use home::{Home, RUN, TEAM, contents};

impl Home {
    fn trainer(&self, set: &[(&str, &str)]) -> Trainer {
        let set: Vec<_> = set.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
        let loaded =
            load(&self.path("run.toml"), &set).unwrap_or_else(|report| panic!("{}", report.render(false, 100)));
        Trainer::new(loaded, Registry::default()).unwrap()
    }

    fn run(&self, folder: &str, set: &[(&str, &str)], resume: bool) -> (End, Run) {
        let mut run = Run::open(self.trainer(set), &self.path(folder), resume).unwrap();
        let end = run.drive(&mut Quiet, &Stop::default()).unwrap();
        (end, run)
    }
}

#[test]
fn a_run_writes_all_it_promises() {
    let home = Home::new();
    let (end, run) = home.run("out", &[], false);
    assert_eq!((end, run.trainer().state().step), (End::Complete, 4));
    for name in ["run.json", "metrics.jsonl", "episodes/000004.jsonl.zst", "evaluations/000000.jsonl.zst"] {
        assert!(home.path("out").join(name).is_file(), "{name}");
    }
    for policy in ["first", "second"] {
        let folder = home.path("out/checkpoints/4").join(policy);
        assert!(folder.join("adapter_model.safetensors").is_file() && folder.join("adapter_config.json").is_file());
    }
    let rows = std::fs::read_to_string(home.path("out/metrics.jsonl")).unwrap();
    let rows: Vec<serde_json::Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.iter().map(|row| row["step"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    for key in [
        "reward/total",
        "reward/contains",
        "kl/first",
        "entropy/second",
        "grad_norm/first",
        "length/second",
        "critic/0/explained_variance",
        "logprob_gap/max",
        "d/first>second",
        "tokens_per_s/rollout",
        "faults/share",
    ] {
        assert!(rows[1][key].is_number(), "{key}: {}", rows[1]);
    }
    assert!(rows[1]["logprob_gap/max"].as_f64().unwrap() < 1e-4, "{}", rows[1]);
    assert!(rows[2]["eval/score"].is_number() && rows[2]["eval/gain"].is_number() && rows[1]["eval/score"].is_null());
    let episodes = crate::episode::read(&home.path("out/episodes/000001.jsonl.zst")).unwrap();
    assert_eq!(episodes.len(), 6);
}

#[test]
fn a_resumed_run_is_the_same_run() {
    let home = Home::new();
    home.run("whole", &[], false);
    home.run("parts", &[("train.steps", "2")], false);
    let (end, _) = home.run("parts", &[], true);
    assert_eq!(end, End::Complete);
    let (whole, parts) = (contents(&home.path("whole/checkpoints/4")), contents(&home.path("parts/checkpoints/4")));
    assert_eq!(whole.keys().collect::<Vec<_>>(), parts.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(bytes == &parts[name], "{name} differs");
    }
    let read = |run: &str, step: &str| crate::episode::read(&home.path(run).join("episodes").join(step)).unwrap();
    for step in ["000003.jsonl.zst", "000004.jsonl.zst"] {
        for (one, other) in read("whole", step).iter().zip(&read("parts", step)) {
            assert_eq!(one.first_difference(other), None);
        }
    }
}

#[test]
fn a_steered_divergence_goes_on_where_it_stood() {
    let home = Home::new();
    for key in ["kl_reward_coef", "kl_loss_coef"] {
        let control = "{ type = \"adaptive\", target_kl = 0.01, horizon = 60 }";
        let coefficient = format!("algorithm.{key}");
        let set = |steps| {
            [("train.steps", steps), ("eval.every", "1"), (&*coefficient, "0.1"), ("algorithm.kl_ctrl", control)]
        };
        let (whole, parts) = (format!("{key}-whole"), format!("{key}-parts"));
        let (_, run) = home.run(&whole, &set("3"), false);
        home.run(&parts, &set("1"), false);
        home.run(&parts, &set("3"), true);
        let rows = std::fs::read_to_string(home.path(&whole).join("metrics.jsonl")).unwrap();
        let logged: Vec<f64> = rows
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["kl_coef/first"].as_f64())
            .collect();
        // the first step has no divergence yet: the error is clipped at -0.2, and six of sixty episodes have been seen
        assert_eq!(logged.len(), 3);
        assert_eq!((logged[0], logged[1]), (0.1, 0.1 * (1.0 - 0.2 * 6.0 / 60.0)), "{key}");
        let now = run.trainer().state().learn.controllers[&0].coefficient();
        assert!(now != logged[1] && now > 0.0, "{now}");
        assert!(
            contents(&home.path(&whole).join("checkpoints/3")) == contents(&home.path(&parts).join("checkpoints/3"))
        );
    }
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_said_so() {
    let home = Home::new();
    home.run("whole", &[], false);
    home.run("out", &[("train.steps", "3")], false);
    let torn = home.path("out/checkpoints/3/first/adapter_model.safetensors");
    let bytes = std::fs::read(&torn).unwrap();
    std::fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    let mut run = Run::open(home.trainer(&[]), &home.path("out"), true).unwrap();
    let mut told = vec![];
    let mut listen = |event: &Event<'_>| {
        if let Event::Resumed { step, rejected } = event {
            told.push((*step, rejected.clone()));
        }
    };
    run.drive(&mut listen, &Stop::default()).unwrap();
    assert_eq!(told[0].0, 2);
    assert!(told[0].1[0].contains("adapter_model.safetensors"), "{told:?}");
    let (mut whole, mut out) = (contents(&home.path("whole/checkpoints/4")), contents(&home.path("out/checkpoints/4")));
    // the shorter run evaluated at its end, which is remembered and changes no number
    assert!(whole.remove("state.json").is_some() && out.remove("state.json").is_some());
    assert!(whole == out, "weights differ");
}

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
fn folders_are_not_overwritten_nor_continued_with_other_settings() {
    let home = Home::new();
    home.run("out", &[("train.steps", "1")], false);
    let again = Run::open(home.trainer(&[]), &home.path("out"), false);
    assert!(matches!(again, Err(TrainerError::Occupied(_))));
    let other = Run::open(home.trainer(&[("seed", "6")]), &home.path("out"), true).unwrap_err().to_string();
    assert!(other.contains("seed was 5 and is 6"), "{other}");
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
    let (end, run) = home.run("out", &[("train.budget.episodes", "7")], false);
    assert_eq!((end, run.trainer().state().episodes), (End::Budget("episodes"), 12));
}

#[test]
fn numbers_that_are_not_finite_end_the_run_with_what_helps() {
    let home = Home::new();
    let set = [("algorithm.learning_rate", "1e30"), ("train.max_bad_updates", "0"), ("train.steps", "40")];
    let mut run = Run::open(home.trainer(&set), &home.path("out"), false).unwrap();
    let error = run.drive(&mut Quiet, &Stop::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("not finite"), "{text}");
}

#[test]
fn a_uniform_reward_is_named() {
    let home = Home::new();
    home.write("run.toml", &RUN.replace("[model.critic]\nhidden = [8]\n", ""));
    let set = [("algorithm.preset", "grpo"), ("reward.0.gold", "question"), ("train.steps", "1")];
    let mut run = Run::open(home.trainer(&set), &home.path("out"), false).unwrap();
    let mut warned = vec![];
    let mut listen = |event: &Event<'_>| {
        if let Event::Warned { warning, .. } = event {
            warned.push(*warning);
        }
    };
    run.drive(&mut listen, &Stop::default()).unwrap();
    assert!(warned.contains(&Warning::NoSignal), "{warned:?}");
}

#[test]
fn an_episode_is_replayed_token_for_token() {
    let home = Home::new();
    home.run("out", &[], false);
    let recorded = crate::episode::read(&home.path("out/episodes/000003.jsonl.zst")).unwrap();
    let mut trainer = home.trainer(&[]);
    trainer.catch_up(3).unwrap();
    for record in &recorded[..2] {
        let again = trainer.replay(&record.task, record.sample).unwrap().unwrap();
        assert_eq!(record.first_difference(&again), None);
    }
    assert!(trainer.replay("no such task", 0).unwrap().is_none());
    assert!(trainer.catch_up(2).is_err());
}

#[test]
fn credit_by_replays_is_paid_and_its_replays_are_not_learnt_from() {
    for rule in ["difference", "leave-one-out", "rollout-value"] {
        let home = Home::new();
        let mut trainer = home.trainer(&[("algorithm.credit", rule), ("train.steps", "1")]);
        let report = trainer.step().unwrap().unwrap();
        assert_eq!(report.records.len(), 6, "{rule}");
        assert!(report.records.iter().all(|record| record.parent.is_none()));
        let learnt = report.learnt.unwrap();
        assert!(learnt.policies.values().all(|policy| policy.updates == 1), "{rule}: {learnt:?}");
        // two agents of six episodes, of at most six tokens each, and what the replays sampled beside them
        assert!(trainer.state().tokens > 6 * 12, "{rule}: {}", trainer.state().tokens);
    }
}

#[test]
fn agents_that_learn_one_after_the_other_all_learn() {
    let home = Home::new();
    let mut trainer = home.trainer(&[("algorithm.schedule", "sequential"), ("train.steps", "1")]);
    let learnt = trainer.step().unwrap().unwrap().learnt.unwrap();
    assert_eq!(learnt.policies.len(), 2);
    assert!(learnt.policies.values().all(|policy| policy.updates == 1 && policy.grad_norm > 0.0), "{learnt:?}");
}

#[test]
fn an_agent_of_a_run_calls_the_tool_that_the_run_file_declares() {
    let home = Home::new();
    let call = r#"<tool_call>{"name": "calculator", "arguments": {"expression": "6 * 7"}}</tool_call>"#;
    let replies = serde_json::json!([call, "It is 42."]);
    let scripted = format!("[policies.first]\nkind = \"scripted\"\nreplies = {replies}\n\n");
    let team = TEAM.replacen("sampling", "tools = [\"calculator\"]\nsampling", 1) + &scripted;
    home.write("team.toml", &team);
    home.write("run.toml", &format!("{RUN}\n[[tools]]\nkind = \"calculator\"\n"));
    let mut trainer = home.trainer(&[("train.steps", "1")]);
    let report = trainer.step().unwrap().unwrap();
    for record in &report.records {
        assert!(record.is_sound() && record.faults.is_empty(), "{:?}", record.faults);
        assert_eq!(record.turns[0].text, "It is 42.", "it went on after the result");
    }
    assert_eq!(report.learnt.unwrap().policies.len(), 1);
}
