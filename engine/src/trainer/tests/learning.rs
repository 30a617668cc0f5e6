//! What learning does with what is cut off, with what is old, and with what is small.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::environment::{EnvironmentFault, Outcome, Scene, Standing};
use crate::episode::{Span, SpanKind};
use crate::learn::Credits;
use crate::settings::Kind;
use crate::settings::file::load_with;

/// Shows a question, takes one answer, and is over or cut off.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OneStep {
    cut_off: bool,
}

impl Environment for OneStep {
    fn reset(&mut self, task: &Task, _seed: Seed) -> Result<Scene, EnvironmentFault> {
        let shared = marft_topologies::turns::Task::text(task.text("question").unwrap_or_default());
        Ok(Scene { shared, own: vec![] })
    }

    fn step(&mut self, output: Option<&marft_topologies::turns::Message>) -> Result<Outcome, EnvironmentFault> {
        let standing = if self.cut_off { Standing::Truncated } else { Standing::Done { won: None } };
        let length = output.map_or(0, |message| message.text.len());
        Ok(Outcome { standing, rewards: vec![("length".to_owned(), length as f64)] })
    }
}

/// Weights after three steps in an environment that ends, or is cut off, after its one step.
fn trained(cut_off: bool, gamma_step: &str) -> BTreeMap<String, Vec<u8>> {
    let home = Home::new();
    let environment = format!("kind = \"one-step\"\ncut_off = {cut_off}");
    home.write("run.toml", &RUN.replace("kind = \"question\"\ntext = \"question\"", &environment));
    let registry = Registry::default().with_environment("one-step", Kind::read::<OneStep>);
    let set = [("algorithm.gamma_step".to_owned(), gamma_step.to_owned())];
    let loaded = load_with(&home.path("run.toml"), &set, &registry)
        .unwrap_or_else(|report| panic!("{}", report.render(false, 100)));
    let mut trainer = Trainer::new(loaded, registry).unwrap();
    for _ in 0..3 {
        let report = trainer.step().unwrap().unwrap();
        assert!(report.records.iter().all(|record| (record.end == "truncated") == cut_off));
    }
    let folder = home.path("saved");
    std::fs::create_dir(&folder).unwrap();
    trainer.save(&folder).unwrap();
    let mut files = contents(&folder);
    files.retain(|name, _| name.ends_with("adapter_model.safetensors"));
    files
}

#[test]
fn what_is_cut_off_is_worth_what_might_have_followed() {
    assert!(trained(true, "0.9") != trained(false, "0.9"), "the value behind a cut-off is not 0");
    assert!(trained(true, "0.0") == trained(false, "0.0"), "and it is all that differs: discounted away, nothing does");
}

#[test]
fn old_episodes_are_learnt_from_with_their_distance_measured() {
    let home = Home::new();
    let set =
        [("algorithm.loss", "decoupled"), ("algorithm.learning_rate", "0.02"), ("rollout.recompute_logprobs", "true")];
    let mut trainer = home.trainer(&set);
    let old = trainer.step().unwrap().unwrap();
    assert!(old.learnt.unwrap().logprob_gap < 1e-4, "the weights that sampled are those that learn");
    trainer.step().unwrap();
    let versions = |record: &EpisodeRecord| -> Vec<u64> {
        let spans = record.segments.iter().flat_map(|segment| &segment.spans);
        spans
            .filter_map(|span| if let SpanKind::Sampled { version, .. } = span.kind { Some(version) } else { None })
            .collect()
    };
    let (first, now) = (versions(&old.records[0]), trainer.learner.state().updates);
    assert!(first.iter().all(|version| *version < now), "{first:?} of {now}");
    let learnt = trainer.learner.learn(old.records.clone(), Credits::new()).unwrap();
    assert!(learnt.logprob_gap > 1e-3, "{}", learnt.logprob_gap);
    assert!(learnt.bad_updates == 0 && learnt.policies.values().all(|policy| policy.updates == 1), "{learnt:?}");
    assert!(learnt.policies.values().all(|policy| (policy.ratio - 1.0).abs() < 1e-3), "against the proximal policy");
}

/// The 32-bit numbers of the factors that are drawn at random, which a first update moves once the others are not 0.
fn drawn(checkpoint: &std::path::Path) -> Vec<f32> {
    let bytes = std::fs::read(checkpoint.join("first/adapter_model.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let mut numbers = vec![];
    for (name, entry) in header.as_object().unwrap().iter().filter(|(name, _)| name.contains("lora_A")) {
        assert_eq!(entry["dtype"], "F32", "{name}");
        let at = |which: usize| 8 + length + entry["data_offsets"][which].as_u64().unwrap() as usize;
        numbers.extend(bytes[at(0)..at(1)].chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())));
    }
    numbers
}

#[test]
fn updates_far_below_what_the_base_can_tell_apart_are_not_lost() {
    let home = Home::new();
    let set = [("model.dtype", "bf16"), ("algorithm.learning_rate", "1e-6"), ("train.steps", "3")];
    home.run("out", &set, false);
    let (before, after) = (drawn(&home.path("out/checkpoints/2")), drawn(&home.path("out/checkpoints/3")));
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert!(moved as f64 > 0.9 * before.len() as f64, "{moved} of {}", before.len());
    let furthest = before.iter().zip(&after).map(|(before, after)| (before - after).abs()).fold(0.0, f32::max);
    assert!(furthest < 1e-5, "{furthest}");
}

/// How many updates each parameter of the critic has had, in the order of its heads.
fn updates_of_critic(checkpoint: &std::path::Path) -> Vec<f32> {
    let bytes = std::fs::read(checkpoint.join("critics/0/critic.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let of =
        |number: usize| header.get(format!("step.{number}")).map(|entry| entry["data_offsets"][0].as_u64().unwrap());
    let starts = (0..).map_while(of).map(|start| 8 + length + start as usize);
    starts.map(|start| f32::from_le_bytes(bytes[start..start + 4].try_into().unwrap())).collect()
}

#[test]
fn an_agent_keeps_its_head_of_the_critic_whoever_is_frozen() {
    let home = Home::new();
    home.write("run.toml", &RUN.replace("[train]\nsteps = 4\n", ""));
    let stages = "[{ kind = \"rl\", steps = 1, frozen = \"first\" }, { kind = \"rl\", steps = 1 }]";
    home.run("out", &[("stages", stages), ("model.critic.per_agent", "true")], false);
    let (before, after) =
        (updates_of_critic(&home.path("out/checkpoints/1")), updates_of_critic(&home.path("out/checkpoints/2")));
    let half = before.len() / 2;
    assert!(before[..half].iter().all(|updates| *updates == 0.0), "the first agent was frozen: {before:?}");
    assert!(before[half..].iter().all(|updates| *updates == 1.0), "{before:?}");
    assert!(after[..half].iter().all(|updates| *updates == 1.0) && after[half..].iter().all(|updates| *updates == 2.0));
}

/// A later stage's demonstrations are rolled out before the first step.
#[test]
fn a_demonstration_that_lacks_an_agent_is_found_before_anything_is_learnt() {
    let home = Home::new();
    let id = home.trainer(&[]).pool().draw(&mut PoolState::default(), 1).unwrap()[0].id.clone();
    home.write("demonstrations.jsonl", &format!("{{\"id\": \"{id}\", \"says\": {{\"first\": \"e\"}}}}\n"));
    let stages = "[{ kind = \"rl\" }, { kind = \"sft\", demonstrations = \"demonstrations.jsonl\" }]";
    let trainer = home.trainer(&[("stages", stages)]);
    let refusal = Run::open(trainer, &home.path("out"), false).unwrap_err().to_string();
    assert!(
        refusal.contains(&format!("the demonstration of task `{id}` has no turn 0 of agent `second`")),
        "{refusal}"
    );
    assert!(!home.path("out/run.json").exists(), "nothing was begun");
}

/// A turn whose context is summed up, or shortened, on the way has spoken in several sequences. Every token is learnt from
/// where it was said: elsewhere the trainer would find other log-probabilities than the sampler.
#[test]
fn a_context_that_is_replaced_within_a_turn_is_learnt_from() {
    let home = Home::new();
    let team = r#"
        [team]
        name = "talk"
        rounds = { max = 5 }
        [agents.first]
        role = "R"
        policy = "first"
        context = "grow"
        prompt = "round {{ round }} of a long talk about {{ task }}"
        sampling = { max_tokens = 40 }
    "#;
    home.write("team.toml", team);
    for long_context in ["summarise", "truncate-oldest"] {
        let set = [
            ("model.base", "random:llama,context=320"),
            ("rollout.long_context", long_context),
            ("train.steps", "1"),
            ("eval.before", "false"),
            ("eval.every", "0"),
        ];
        let mut trainer = home.trainer(&set);
        let report = trainer.step().unwrap().unwrap();
        assert!(report.records.iter().all(|record| record.is_sound() && record.segments.len() > 1), "{long_context}");
        let split = |record: &EpisodeRecord| {
            (0..record.turns.len()).any(|turn| {
                let said = |span: &Span| span.turn == turn && span.kind != SpanKind::Observed;
                record.segments.iter().filter(|segment| segment.spans.iter().any(said)).count() > 1
            })
        };
        assert_eq!(report.records.iter().any(split), long_context == "summarise");
        let learnt = report.learnt.unwrap();
        assert!(learnt.policies.values().all(|policy| policy.updates == 1), "{long_context}: {learnt:?}");
        assert!(learnt.logprob_gap_max < 1e-4, "{long_context}: {learnt:?}");
    }
}

#[test]
fn a_critic_warms_up_alone_and_then_all_agents_learn_at_once() {
    let home = Home::new();
    // six episodes of one step each are a batch
    home.run("out", &[("algorithm.warm_up_steps", "12"), ("train.steps", "3"), ("eval.every", "0")], false);
    let [first, second, third] = ["1", "2", "3"].map(|step| contents(&home.path("out/checkpoints").join(step)));
    let same = |one: &BTreeMap<String, Vec<u8>>, other: &BTreeMap<String, Vec<u8>>, part: &str| {
        let files: Vec<&String> = one.keys().filter(|name| name.starts_with(part)).collect();
        assert!(!files.is_empty(), "{part}: {:?}", one.keys());
        files.iter().all(|name| one[*name] == other[*name])
    };
    for policy in ["first", "second"] {
        assert!(same(&first, &second, &format!("{policy}/adapter_model")), "{policy} waits");
        assert!(!same(&second, &third, &format!("{policy}/adapter_model")), "{policy} learns");
    }
    assert!(!same(&first, &second, "critics"), "the critic does not wait");
}

/// What is drawn under a form is learnt as the policy's own: trainer and sampler agree on the same weights, though the trainer
/// knows no forms, and what the form left no choice about is far from certain to the policy.
#[cfg(feature = "constrained")]
#[test]
fn an_agent_that_is_held_to_a_form_learns_by_its_own_log_probs() {
    let home = Home::new();
    let team = r#"
        [team]
        name = "held"
        [agents.first]
        role = "F"
        constrain = { regex = "(yes|no), [0-9]{2}" }
        sampling = { top_p = 0.9, max_tokens = 16 }
        [agents.second]
        role = "S"
        sees = ["task", "first"]
        constrain = "schema"
        sampling = { max_tokens = 64 }
        [agents.second.schema]
        type = "object"
        required = ["verdict"]
        additionalProperties = false
        properties = { verdict = { enum = ["right", "wrong"] } }
        x-guidance = { whitespace_flexible = false }
    "#;
    home.write("team.toml", team);
    let mut trainer = home.trainer(&[]);
    let report = trainer.step().unwrap().unwrap();
    let form = regex::Regex::new("^(yes|no), [0-9]{2}$").unwrap();
    let mut logprobs = vec![];
    for record in &report.records {
        assert!(record.is_sound(), "{:?}", record.faults);
        let [first, second] = record.turns.as_slice() else { panic!("{record:?}") };
        assert!(form.is_match(&first.text), "{}", first.text);
        let said: serde_json::Value = serde_json::from_str(&second.text).unwrap();
        assert!(said["verdict"] == "right" || said["verdict"] == "wrong", "{said}");
        assert_eq!([&first.finish, &second.finish], ["stop_id"; 2]);
        logprobs.extend(record.segments.iter().flat_map(|segment| segment.logprobs.iter().copied()));
    }
    assert!(logprobs.iter().all(|logprob| *logprob < -1.0), "a random model is sure of nothing: {logprobs:?}");
    let learnt = report.learnt.unwrap();
    assert!(learnt.logprob_gap_max < 1e-4, "{learnt:?}");
    assert_eq!(learnt.policies.len(), 2);
    for policy in learnt.policies.values() {
        assert!(policy.updates == 1 && policy.grad_norm > 0.0, "{policy:?}");
        // the first pass over what was sampled finds the policy that sampled it
        assert!((policy.ratio - 1.0).abs() < 1e-3, "{policy:?}");
    }
}
