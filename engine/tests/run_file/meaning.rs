//! What right files mean.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use marft_algorithms::preset::CreditRule;
use marft_engine::learn::KlTarget;
use marft_engine::reward::{Attach, Evidence, RewardFault, RewardTerm};
use marft_engine::settings::file::load_with;
use marft_engine::settings::{DeviceName, Kind, Registry, RunSettings, Sharing, Stage};
use marft_engine::task::SplitRule;
use marft_engine::tool::{Tool, ToolFuture, ToolRequest};
use marft_topologies::check::{Code, Problem};
use serde::Deserialize;

use crate::folder::{Folder, GOOD, TEAM};

#[test]
fn a_short_file_has_defaults_for_all_else() {
    let folder = Folder::new();
    let loaded = folder.good(GOOD, &[]);
    let settings = loaded.settings;
    assert_eq!(settings.name, folder.path().file_name().unwrap().to_str().unwrap());
    assert_eq!((settings.seed, settings.deterministic, settings.model.device), (0, true, DeviceName::Cpu));
    assert!(settings.task.sources[0].file.is_file(), "paths can be used as they are");
    assert_eq!(settings.algorithm.keys().collect::<Vec<_>>(), ["asker", "keeper"]);
    assert!(settings.algorithm["asker"].needs_critic());
    assert!(matches!(settings.stages[..], [Stage::Rl(ref rl)] if rl.steps == 100));
    assert_eq!(loaded.team.name(), "relay");
    assert!(loaded.warnings.iter().any(|warning| warning.contains("learning rate")), "{:?}", loaded.warnings);
}

#[test]
fn a_rate_that_rises_until_the_end_is_warned_of() {
    let folder = Folder::new();
    let warned = |warmup: &str| {
        let loaded = folder.good(GOOD, &[("train.steps", "4"), ("train.warmup", warmup)]);
        loaded.warnings.iter().any(|warning| warning.contains("never gets there"))
    };
    assert!(warned("4") && !warned("3"));
}

#[test]
fn agents_that_never_get_their_turn_to_learn_are_warned_of() {
    let folder = Folder::new();
    let warned = |interval: &str| {
        let set = [
            ("algorithm.schedule", "interval"),
            ("algorithm.update_interval", interval),
            ("train.steps", "8"),
            ("rollout.tasks", "6"),
        ];
        folder.good(GOOD, &set).warnings.iter().any(|warning| warning.contains("only 1 of 2 agents ever learn"))
    };
    // of six steps a batch, every second interval of three is skipped
    assert_eq!(["3", "6", "12", "1000"].map(warned), [true, false, false, true]);
}

#[test]
fn evaluation_on_what_is_trained_on_is_warned_of() {
    let folder = Folder::new();
    let all = GOOD.replace("split = { hash = { by = \"country\", held_out = 0.4 } }\n", "");
    let warned =
        |text: &str| folder.good(text, &[]).warnings.iter().any(|warning| warning.contains("nothing is held out"));
    assert!(warned(&all) && !warned(GOOD));
}

/// Told with everything else, and without anything being loaded.
#[test]
fn a_model_that_is_not_there_is_told_with_all_other_problems() {
    let folder = Folder::new();
    let wrong = |base: &str| {
        let text = GOOD.replace("random:llama", base).replace("[model]", "[model]\nthreads = 0");
        let told = folder.problems(&text, &[]);
        assert!(told.contains("`threads` cannot be 0") && told.contains("base = "), "{told}");
        told
    };
    let near = wrong("smollm2-135-instruct");
    assert!(near.contains("there is no model `smollm2-135-instruct`"), "{near}");
    assert!(near.contains("did you mean `smollm2-135m-instruct`?"), "{near}");
    let hub = wrong("no-such-organisation/no-such-model");
    assert!(hub.contains("is not in the cache") && hub.contains("marft model pull"), "{hub}");
    assert!(wrong("random:lama").contains("`lama` is no known shape"));
    fs_err::create_dir(folder.path().join("no-model")).unwrap();
    assert!(wrong("no-model").contains("is neither a model folder nor a `.gguf` file"));
    for installed_or_not in ["smollm2-135m-instruct", "random:qwen2,layers=2"] {
        folder.good(GOOD, &[("model.base", installed_or_not)]);
    }
}

#[test]
fn evaluations_and_stops_that_come_too_late_are_warned_of() {
    let folder = Folder::new();
    let warned = |every: &str, patience: &str, more: &[(&str, &str)]| {
        let stop = format!("{{ patience = {patience} }}");
        let set = [("train.steps", "12"), ("eval.every", every), ("train.early_stop", &*stop)];
        let warnings = folder.good(GOOD, &[&set, more].concat()).warnings;
        let has = |part: &str| warnings.iter().any(|warning| warning.contains(part));
        (has("`eval.every = "), has("`early_stop.patience = "))
    };
    // evaluated after 3, 6 and 9: the third can be the second without an improvement
    assert_eq!(warned("3", "2", &[]), (false, false));
    assert_eq!(warned("3", "3", &[]), (false, true));
    assert_eq!(warned("13", "1", &[]), (true, true));
    assert_eq!(warned("12", "1", &[]), (false, true));
    assert_eq!(warned("3", "2", &[("train.budget.steps", "9")]), (false, true));
    let stages = "[{ kind = \"sft\", demonstrations = \"demonstrations.jsonl\", epochs = 2 }, { kind = \"rl\" }]";
    // so that the demonstrated task is one to train on
    let more = [("stages", stages), ("task.split", "{ column = \"split\" }")];
    assert_eq!(warned("13", "1", &more), (false, false), "after 2 and 13 of 14");
}

#[test]
fn learners_that_sample_from_a_cut_distribution_are_warned_of() {
    let folder = Folder::new();
    let warned = |sampling: &str, set: &[(&str, &str)]| {
        folder.write("team.toml", &TEAM.replace("max_tokens = 16", sampling));
        let warnings = folder.good(GOOD, set).warnings;
        warnings.iter().any(|warning| warning.contains(sampling) && warning.contains("`asker` learns"))
    };
    for (sampling, cut) in [("top_p = 0.9", true), ("top_k = 40", true), ("min_p = 0.05", true), ("top_p = 1", false)] {
        assert_eq!(warned(sampling, &[]), cut, "{sampling}");
    }
    assert!(!warned("top_p = 0.9", &[("rollout.recompute_logprobs", "true")]));
}

#[test]
fn settings_survive_json() {
    let folder = Folder::new();
    let settings = folder.good(GOOD, &[("algorithm.learning_rate", "0.1"), ("model.device", "cpu")]).settings;
    let text = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<RunSettings>(&text).unwrap(), settings);
}

#[test]
fn overrides_are_laid_over_the_file_and_names_of_the_peers_are_taken() {
    let folder = Folder::new();
    let text = format!(
        "{GOOD}\n[[stages]]\nkind = \"sft\"\ndemonstrations = \"demonstrations.jsonl\"\n[[stages]]\nkind = \"rl\"\n"
    );
    let overrides = [
        ("train.lr", "0.01"),
        ("train.max_steps", "7"),
        ("deterministic", "false"),
        ("stages.0.num_train_epochs", "5"),
        ("stages.1.steps", "9"),
        ("stages.1.steps", "11"),
        ("stages.0.lr", "0.5"),
        ("model.weights", "shared"),
        ("model.lora.r", "4"),
        ("model.lora.target_modules", "[\"q_proj\"]"),
        ("rollout.n", "2"),
        ("task.split", "{ column = \"split\" }"),
        ("reward.0.weight", "3"),
        ("checkpoint.save_steps", "1"),
    ];
    let refused = folder.problems(&text, &overrides);
    assert!(refused.contains("`train.steps` has no effect"), "{refused}");
    let kept: Vec<_> = overrides.into_iter().filter(|(path, _)| *path != "stages.1.steps").collect();
    let settings = folder.good(&text, &kept).settings;
    assert_eq!((settings.deterministic, settings.train.steps), (false, 7));
    assert_eq!((settings.algorithm["asker"].learning_rate, settings.algorithm["keeper"].group_size), (0.01, 2));
    let [Stage::Sft(sft), Stage::Rl(rl)] = &settings.stages[..] else { panic!("{:?}", settings.stages) };
    assert_eq!((sft.epochs, sft.learning_rate, rl.steps), (5, 0.5, 7));
    assert_eq!((settings.model.weights, settings.model.lora.rank), (Sharing::Shared, 4));
    assert_eq!(settings.model.lora.alpha, 8.0, "twice the rank");
    assert_eq!(settings.task.split, Some(SplitRule::Column("split".to_owned())));
    assert_eq!((settings.reward[0].weight, settings.checkpoint.every), (3.0, 1));
}

#[test]
fn agents_have_algorithms_of_their_own() {
    let folder = Folder::new();
    let text = format!(
        "{GOOD}\n[algorithm]\npreset = \"grpo\"\nclip_ratio = 0.1\n[algorithm.agents.keeper]\nlr = 1e-3\n\
         [algorithm.agents.asker]\npreset = \"rloo\"\ngroup_size = 8\n"
    );
    let algorithm = folder.good(&text, &[]).settings.algorithm;
    assert_eq!((algorithm["keeper"].learning_rate, algorithm["keeper"].clip_low), (1e-3, 0.1));
    assert_eq!(algorithm["asker"].clip_low, 0.2, "a preset of its own starts afresh");
    let frozen = folder.good(GOOD, &[("model.frozen", "asker")]).settings;
    assert_eq!(frozen.algorithm.keys().collect::<Vec<_>>(), ["keeper"]);
}

#[test]
fn what_the_team_file_declares_holds() {
    let folder = Folder::new();
    let text = r#"
        team = "declared.toml"
        [task]
        files = "tasks.jsonl"
        [[reward]]
        name = "correct"
        kind = "exact"
        [[reward]]
        name = "brief"
        kind = "length"
        of = "solver"
        max_tokens = 8
        buffer = 4
    "#;
    let settings = folder.good(text, &[]).settings;
    assert_eq!((settings.reward[0].weight, settings.reward[0].attach), (2.0, Attach::Agent));
    assert_eq!(settings.reward[0].of.as_deref(), Some("solver"), "who is paid is judged");
    assert_eq!(settings.reward[1].attach, Attach::Team);
}

/// A run of the team that says who is paid, with its file changed.
fn credited(folder: &Folder, changes: &[(&str, &str)], algorithm: &[(&str, &str)]) -> Result<RunSettings, String> {
    let mut team = fs_err::read_to_string(folder.path().join("credited.toml")).unwrap();
    for (from, to) in changes {
        assert!(team.contains(from), "{from}");
        team = team.replace(from, to);
    }
    folder.write("changed.toml", &team);
    let text = r#"
        team = "changed.toml"
        [task]
        files = "tasks.jsonl"
        [[reward]]
        name = "correct"
        kind = "exact"
        [[reward]]
        name = "polite"
        kind = "contains"
        of = "asker"
    "#;
    folder.load(text, algorithm).map(|loaded| loaded.settings).map_err(|report| report.render(false, 1000))
}

#[test]
fn credit_that_the_team_file_declares_holds() {
    let folder = Folder::new();
    let run = |rule: &str, group: &str, algorithm: (&str, &str)| {
        let (rule, group) = (format!("rule = \"{rule}\""), format!("group = \"{group}\""));
        credited(&folder, &[("rule = \"own\"", &rule), ("group = \"turn\"", &group)], &[algorithm])
    };
    let at_grpo = ("algorithm.preset", "at-grpo");
    let shares = |asker, keeper| BTreeMap::from([("asker".to_owned(), asker), ("keeper".to_owned(), keeper)]);
    assert_eq!(run("own", "turn", at_grpo).unwrap().shares, shares(false, true));
    assert_eq!(run("path", "turn", at_grpo).unwrap().shares, shares(true, true));
    assert_eq!(run("shared", "turn", at_grpo).unwrap().shares, shares(true, true));
    assert!(
        run("shared", "task", ("algorithm.preset", "rloo")).unwrap().shares.is_empty(),
        "a chain of the team shares"
    );
    for (rule, credit) in [("difference", CreditRule::Difference), ("rollout", CreditRule::RolloutValue)] {
        let run = run(rule, "turn", at_grpo).unwrap();
        assert!(run.algorithm.values().all(|algorithm| algorithm.credit == credit), "{rule}");
    }
    let told = run("difference", "task", ("algorithm.preset", "rloo")).unwrap_err();
    assert!(told.contains("those before it are paid that too") && told.contains("chain = \"agent\""), "{told}");
    for (group, preset) in [("task", "grpo"), ("agent", "dr-mas"), ("observation", "gigpo")] {
        let settings = ("algorithm.preset", preset);
        assert!(run("shared", group, settings).is_ok() && run("shared", group, at_grpo).is_err(), "{group}");
    }
    let alone = credited(&folder, &[("group = \"turn\"", "")], &[("algorithm.chain", "agent")]).unwrap();
    assert_eq!(alone.shares, shares(false, true));
}

#[test]
fn a_controller_steers_the_coefficient_of_a_divergence() {
    let folder = Folder::new();
    let steered = |value| folder.good(GOOD, &[("algorithm.kl_ctrl", value)]).settings;
    let run = steered("{ type = \"adaptive\", kl_coef = 0.05, kl_target = 0.02, horizon = 64 }");
    assert_eq!(run.kl_target["keeper"], KlTarget { target: 0.02, horizon: 64.0 });
    assert_eq!(run.algorithm["keeper"].kl_reward_coef, 0.05);
    let run = steered("{ type = \"fixed\", kl_coef = 0.05 }");
    assert!(run.kl_target.is_empty() && run.algorithm["asker"].kl_reward_coef == 0.05);
    let text = format!("{GOOD}\n[algorithm]\nbeta = 0.01\n[algorithm.agents.keeper.kl_ctrl]\ntype = \"adaptive\"\n");
    let run = folder.good(&text, &[]).settings;
    assert_eq!(
        run.kl_target.into_iter().collect::<Vec<_>>(),
        [("keeper".to_owned(), KlTarget { target: 0.1, horizon: 10_000.0 })]
    );
}

#[test]
fn what_an_episode_earns_is_not_paid_per_step() {
    let folder = Folder::new();
    let per_step = ("algorithm.credit", "per-step");
    let told = folder.load(GOOD, &[per_step]).unwrap_err().render(false, 1000);
    assert!(told.contains("is earned by the whole episode") && told.contains("last-agent"), "{told}");
    folder.good(GOOD, &[per_step, ("reward.0.attach", "team")]);
}

#[test]
fn gigpo_and_replays_are_taken() {
    let folder = Folder::new();
    assert!(folder.load(GOOD, &[("algorithm.preset", "gigpo")]).is_ok());
    for credit in ["difference", "leave-one-out", "rollout-value"] {
        folder.good(GOOD, &[("algorithm.credit", credit), ("algorithm.chain", "agent")]);
    }
}

/// Pays for a word.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Politeness {
    word: String,
}

impl RewardTerm for Politeness {
    fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
        Ok(f64::from(evidence.answer.is_some_and(|text| text.contains(&self.word))))
    }
}

#[test]
fn a_program_adds_a_reward_of_its_own() {
    let folder = Folder::new();
    let registry = Registry::default().with_reward("politeness", Kind::read::<Politeness>);
    folder.write("run.toml", &format!("{GOOD}\n[[reward]]\nkind = \"politeness\"\nword = \"please\"\n"));
    let path = folder.path().join("run.toml");
    let settings = load_with(&path, &[], &registry).unwrap().settings;
    let reward = settings.composite(&registry).unwrap();
    let gold = ["yes".to_owned()];
    let tally = reward.score(|_| Evidence { answer: Some("please"), gold: &gold, tokens: 1 }).unwrap();
    assert_eq!(tally.total, 1.0);
    let refused = load_with(&path, &[], &Registry::default()).unwrap_err();
    assert!(refused.problems()[0].message.contains("kind of reward `politeness`"));
}

/// Knows the answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Oracle {}

impl Tool for Oracle {
    fn call(&self, _: ToolRequest) -> ToolFuture<'_> {
        Box::pin(async { Ok("42".to_owned()) })
    }
}

#[test]
fn tools_that_the_team_calls_are_made() {
    let folder = Folder::new();
    let text = r#"
        team = "calling.toml"
        [task]
        files = "tasks.jsonl"
        [[reward]]
        kind = "exact"
        [[tools]]
        kind = "calculator"
        seconds = 2
        [[tools]]
        name = "search"
        kind = "search"
        file = "tasks.jsonl"
        column = "facts"
    "#;
    let settings = folder.good(text, &[]).settings;
    assert_eq!(settings.tools[0].limits.patience, Duration::from_secs(2));
    let tools = settings.toolbox(&Registry::default()).unwrap();
    assert!(tools.contains("calculator") && tools.contains("search"));
    let registry = Registry::default().with_tool("oracle", Kind::read::<Oracle>);
    folder.write("run.toml", &text.replace("kind = \"calculator\"", "name = \"calculator\"\nkind = \"oracle\""));
    let settings = load_with(&folder.path().join("run.toml"), &[], &registry).unwrap().settings;
    assert!(settings.toolbox(&registry).is_ok() && settings.toolbox(&Registry::default()).is_err());
}

#[test]
fn the_examples_are_right_but_for_data_that_is_fetched() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut found = 0;
    for folder in fs_err::read_dir(examples).unwrap() {
        let file = folder.unwrap().path().join("run.toml");
        if !file.is_file() {
            continue;
        }
        found += 1;
        if let Err(report) = load_with(&file, &[], &Registry::default()) {
            let absent = |problem: &Problem| problem.code == Code::MissingFile;
            assert!(report.problems().iter().all(absent), "{}", report.render(false, 100));
        }
    }
    assert!(found > 0);
}
