//! Whole runs on a tiny random model: they end, learn, stop, and go on bit for bit.

use super::*;
use crate::metrics::Warning;
use crate::settings::file::load;

mod baselines;
mod ending;
mod first_release;
#[path = "../../tests/fixtures/pair/home.rs"]
mod home;
mod learning;
mod remote;
mod resuming;
mod serving;
mod tokens;

use home::{Home, RUN, TEAM, contents};

impl Home {
    fn trainer(&self, set: &[(&str, &str)]) -> Trainer {
        let set: Vec<_> = set.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
        let loaded =
            load(&self.path("run.toml"), &set).unwrap_or_else(|report| panic!("{}", report.render(false, 100)));
        Trainer::new(loaded, Registry::default()).unwrap()
    }

    /// Pays for what a random model says now and then, and takes the critic away where it is told.
    fn often_right(&self, critic: bool) {
        let run =
            RUN.replace("kind = \"contains\"\ngold = \"answer\"", "kind = \"format\"\npattern = \".*[a-zA-Z].*\"");
        self.write("run.toml", &if critic { run } else { run.replace("[model.critic]\nhidden = [8]\n", "") });
    }

    fn run(&self, folder: &str, set: &[(&str, &str)], resume: bool) -> (End, Run) {
        let mut run = Run::open(self.trainer(set), &self.path(folder), resume).unwrap();
        let end = run.drive(&mut Quiet, &Stop::default()).unwrap();
        (end, run)
    }

    /// What a run into `out` warns of, and how it was left.
    fn warned(&self, set: &[(&str, &str)]) -> (Vec<Warning>, Run) {
        let mut run = Run::open(self.trainer(set), &self.path("out"), false).unwrap();
        let mut warned = vec![];
        let mut listen = |event: &Event<'_>| {
            if let Event::Warned { warning, .. } = event {
                warned.push(*warning);
            }
        };
        run.drive(&mut listen, &Stop::default()).unwrap();
        (warned, run)
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
        "reward/contains/weighted",
        "reward/agent/first",
        "reward/agent/second",
        "kl/first",
        "entropy/second",
        "clip/first",
        "grad_norm/first",
        "advantage/mean",
        "advantage/std",
        "advantage/max",
        "length/second",
        "finish/max_tokens",
        "invalid/share",
        "critic/0/explained_variance",
        "logprob_gap/mean",
        "logprob_gap/max",
        "d/first>second",
        "tokens_per_s/rollout",
        "tokens_per_s/learning",
        "memory/resident_mib",
        "cache/share",
        "faults/share",
        "updates/dropped",
    ] {
        assert!(rows[1][key].is_number(), "{key}: {}", rows[1]);
    }
    assert!(rows[1]["logprob_gap/max"].as_f64().unwrap() < 1e-4, "{}", rows[1]);
    assert!(rows[2]["eval/score"].is_number() && rows[2]["eval/gain"].is_number() && rows[1]["eval/score"].is_null());
    let episodes = crate::episode::read(&home.path("out/episodes/000001.jsonl.zst")).unwrap();
    assert_eq!(episodes.len(), 6);
}

/// Names of metrics in the documentation; what stands in angle brackets may be anything.
fn documented() -> Vec<String> {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/run-file.md");
    let page = std::fs::read_to_string(page).unwrap();
    let table = page.split_once("| Metric |").unwrap().1.split_once("\n\n").unwrap().0;
    let cells = table.lines().filter_map(|row| row.split('|').nth(1));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn every_number_that_is_logged_is_documented() {
    let names = documented();
    let fits = |name: &str, key: &str| {
        let (name, key): (Vec<&str>, Vec<&str>) = (name.split('/').collect(), key.split('/').collect());
        name.len() == key.len() && name.iter().zip(key).all(|(part, own)| part.starts_with('<') || *part == own)
    };
    let home = Home::new();
    let critic = home.run("critic", &[("train.steps", "1"), ("algorithm.kl_loss_coef", "0.1")], false);
    home.often_right(false);
    let groups = [("algorithm.preset", "grpo"), ("algorithm.kl_reward_coef", "0.1"), ("train.steps", "1")];
    let sampling = [("algorithm.dynamic_sampling", "true"), ("algorithm.group_size", "4")];
    let stages = [("stages", "[{ kind = \"rl\" }, { kind = \"rft\", keep_above = -1.0 }]")];
    let groups = home.run("groups", &[groups.as_slice(), &sampling, &stages].concat(), false);
    assert_eq!((critic.0, groups.0), (End::Complete, End::Complete));
    let mut logged = std::collections::BTreeSet::new();
    for run in ["critic", "groups"] {
        let rows = std::fs::read_to_string(home.path(run).join("metrics.jsonl")).unwrap();
        for row in rows.lines() {
            logged.extend(serde_json::from_str::<BTreeMap<String, serde_json::Value>>(row).unwrap().into_keys());
        }
    }
    logged.remove("step");
    let rows = std::fs::read_to_string(home.path("groups/metrics.jsonl")).unwrap();
    assert!(!rows.contains("kl_reference/"), "what the loss does not ask for is not measured, and not 0");
    let unknown: Vec<&String> = logged.iter().filter(|key| !names.iter().any(|name| fits(name, key))).collect();
    assert!(unknown.is_empty(), "not in docs/run-file.md: {unknown:?}");
    // what these runs have no occasion for
    let rare = ["fault/<kind>", "curriculum/level"];
    let absent = |name: &&String| !rare.contains(&name.as_str()) && !logged.iter().any(|key| fits(name, key));
    let invented: Vec<&String> = names.iter().filter(absent).collect();
    assert!(invented.is_empty(), "documented and never logged: {invented:?}");
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
fn a_uniform_reward_is_named() {
    let home = Home::new();
    home.write("run.toml", &RUN.replace("[model.critic]\nhidden = [8]\n", ""));
    let set = [("algorithm.preset", "grpo"), ("reward.0.gold", "question"), ("train.steps", "1")];
    let (warned, _) = home.warned(&set);
    assert!(warned.contains(&Warning::NoSignal), "{warned:?}");
    let rows = std::fs::read_to_string(home.path("out/metrics.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(rows.lines().last().unwrap()).unwrap();
    assert_eq!(last["groups/uniform"], 1.0);
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
fn a_task_that_comes_twice_in_a_step_has_samples_of_its_own_each_time() {
    let home = Home::new();
    let set = [("train.steps", "1"), ("rollout.tasks", "40"), ("algorithm.group_size", "2")];
    let [once, twice] = ["once", "twice"].map(|folder| {
        home.run(folder, &set, false);
        crate::episode::read(&home.path(folder).join("episodes/000001.jsonl.zst")).unwrap()
    });
    let names: std::collections::BTreeSet<&str> = once.iter().map(|record| record.id.as_str()).collect();
    assert_eq!((once.len(), names.len()), (80, 80));
    for (one, other) in once.iter().zip(&twice) {
        assert_eq!(one.first_difference(other), None);
    }
    let mut trainer = home.trainer(&set);
    let again = once.iter().find(|record| record.sample == 3).unwrap();
    let replayed = trainer.replay(&again.task, 3).unwrap().unwrap();
    assert_eq!(again.first_difference(&replayed), None);
    assert!(trainer.replay(&again.task, 99).unwrap().is_none());
}

#[test]
fn credit_by_replays_is_paid_and_its_replays_are_not_learnt_from() {
    for rule in ["difference", "leave-one-out", "rollout-value"] {
        let home = Home::new();
        let set = [("algorithm.credit", rule), ("algorithm.chain", "agent"), ("train.steps", "1")];
        let mut trainer = home.trainer(&set);
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
