//! Presets: the values of the peers, both vocabularies, every refusal, and that each preset estimates.

use marft_algorithms::advantage::group::Std;
use marft_algorithms::advantage::grpo::ScaleOver;
use marft_algorithms::preset::{
    AggregationName, Algorithm, Compat, Estimator, Level, LossKind, PRESETS, Rollouts, ValueError,
};
use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord, TurnIds, TurnRecord};
use serde_json::{Value, json};

#[path = "presets/credit.rs"]
mod credit;
#[path = "presets/first_release.rs"]
mod first_release;
#[path = "presets/published.rs"]
mod published;
#[path = "presets/refusals.rs"]
mod refusals;

fn resolve(settings: Value) -> Result<Algorithm, String> {
    Algorithm::from_settings(settings.as_object().expect("a table")).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(settings: Value, fragments: &[&str]) {
    let message = resolve(settings).expect_err("this must be refused");
    for fragment in fragments {
        assert!(message.contains(fragment), "`{fragment}` is missing in: {message}");
    }
}

#[test]
fn ppo_with_the_values_of_each_program() {
    // TRL: kl_coef .05, lam .95, vf_coef .1, num_ppo_epochs 4, cliprange_value .2, learning_rate 3e-6.
    let trl = resolve(json!({ "preset": "ppo", "defaults": "trl" })).unwrap();
    assert_eq!((trl.kl_reward_coef, trl.lambda_token, trl.value_coef), (0.05, 0.95, 0.1));
    assert_eq!((trl.epochs, trl.value_clip, trl.learning_rate), (4, Some(0.2), 3e-6));
    // verl: gamma = lam = 1, cliprange_value .5, critic lr 1e-5, weight decay .01, clip_ratio_c 3.
    let verl = resolve(json!({ "preset": "ppo", "defaults": "verl" })).unwrap();
    assert_eq!((verl.gamma_step, verl.lambda_token, verl.value_clip), (1.0, 1.0, Some(0.5)));
    assert_eq!((verl.critic_learning_rate, verl.weight_decay, verl.dual_clip), (1e-5, 0.01, Some(3.0)));
    // Ours: clip .2, lambda .95, gamma 1, value clip .2, one epoch.
    let ours = resolve(json!({})).unwrap();
    assert_eq!((ours.clip_low, ours.lambda_step, ours.gamma_token, ours.epochs), (0.2, 0.95, 1.0, 1));
}

#[test]
fn grpo_and_its_relatives_with_the_values_of_each_program() {
    let of = |preset: &str, defaults: &str| resolve(json!({ "preset": preset, "defaults": defaults })).unwrap();
    // TRL: num_generations 8, beta 0, scale_rewards group; advantages divide by std + 1e-4.
    let trl = of("grpo", "trl");
    assert_eq!((trl.group_size, trl.kl_loss_coef, trl.std, trl.std_eps), (8, 0.0, Std::Unbiased, 1e-4));
    // verl: use_kl_loss with .001, token-mean.
    let verl = of("grpo", "verl");
    assert_eq!((verl.kl_loss_coef, verl.aggregation), (0.001, AggregationName::TokenMean));
    // DAPO: .2 / .28, dynamic sampling capped at 10, overlong buffer 4096; verl adds clip_ratio_c 10; TRL masks.
    let dapo = of("dapo", "verl");
    assert_eq!((dapo.clip_low, dapo.clip_high, dapo.dual_clip), (0.2, 0.28, Some(10.0)));
    assert_eq!((dapo.dynamic_sampling, dapo.max_sampling_rounds, dapo.overlong_buffer), (true, 10, Some(4096)));
    assert!(of("dapo", "trl").mask_truncated);
    // GSPO: 3e-4 / 4e-4, sequence ratio, seq-mean-token-mean, four steps per generation.
    let gspo = of("gspo", "trl");
    assert_eq!((gspo.loss, gspo.clip_low, gspo.clip_high, gspo.mini_batches), (LossKind::Gspo, 3e-4, 4e-4, 4));
    // CISPO: TRL bounds the weight by 5, verl by 1 + .2.
    assert_eq!((of("cispo", "trl").ratio_max, of("cispo", "trl").scale_over), (5.0, ScaleOver::Batch));
    assert_eq!(of("cispo", "verl").ratio_max, 1.2);
    // RLOO: two generations and .05 in the reward (TRL); .001 (verl).
    assert_eq!((of("rloo", "trl").group_size, of("rloo", "trl").kl_reward_coef), (2, 0.05));
    assert_eq!(of("rloo", "verl").kl_reward_coef, 0.001);
    let dr = of("dr-grpo", "marft");
    assert_eq!((dr.estimator, dr.aggregation), (Estimator::DrGrpo, AggregationName::SeqMeanTokenSumNorm));
}

#[test]
fn marft_at_both_levels_and_its_first_release() {
    let a = resolve(json!({ "preset": "marft-a" })).unwrap();
    assert_eq!((a.level, a.estimator, a.value_error), (Level::Action, Estimator::Gae, ValueError::Huber));
    let t = resolve(json!({ "preset": "marft-t" })).unwrap();
    assert_eq!((t.level, t.gamma_token, t.gamma_step), (Level::Token, 1.0, 0.99));
    assert!(t.lambda_token > t.lambda_agent, "an own lambda inside an action");
    // config.py and the trainers of the first release.
    let v1 = resolve(json!({ "preset": "marft-v1" })).unwrap();
    assert_eq!(
        (v1.gamma_token, v1.lambda_token, v1.entropy_coef, v1.epochs, v1.mini_batches),
        (0.99, 0.95, 0.01, 5, 4)
    );
    assert_eq!((v1.learning_rate, v1.critic_learning_rate, v1.adam_eps, v1.max_grad_norm), (5e-7, 5e-4, 1e-5, 0.5));
    assert_eq!((v1.compat, v1.kl_gate), (Compat::MarftV1, Some(1e-3)));
    let v1 = resolve(json!({ "preset": "marft-v1-token" })).unwrap();
    assert_eq!((v1.kl_gate, v1.update_offset), (Some(1.7e-6), 1));
}

#[test]
fn the_first_release_keeps_its_defects() {
    let v1 = resolve(json!({ "preset": "marft-v1-token" })).unwrap();
    let ours = resolve(json!({ "preset": "marft-t" })).unwrap();
    assert!(v1.gae().cut_after_reset && !ours.gae().cut_after_reset);
    // Rows are dropped, chunks are weighted by rows.
    let rows = |algorithm: &Algorithm| algorithm.mini_batches(10, 0).unwrap().concat().len();
    assert_eq!((rows(&v1), rows(&Algorithm { mini_batches: 4, ..ours.clone() })), (8, 10));
    assert_eq!(v1.chunk_weights(&[1, 1], &[3, 1]).unwrap(), [0.5, 0.5]);
    assert_eq!(ours.chunk_weights(&[1, 1], &[3, 1]).unwrap(), [0.75, 0.25]);
    // An advantage of exactly 0 counts as missing: without the zero, [2, 4] have mean 3 and deviation 1.
    let chain = chain_of(&[(0, 0, 1.0), (1, 0, 1.0), (2, 0, 1.0)], Some(&[1.0, -1.0, -3.0]));
    let raw = v1.estimate(&chain, None, None).unwrap().advantage;
    assert_eq!(raw, [0.0, 2.0, 4.0], "it is done mini-batch by mini-batch");
    assert_eq!(ours.in_mini_batch(raw.clone()), raw);
    let got = v1.in_mini_batch(raw);
    for (got, want) in got.iter().zip([-3.0, -1.0, 1.0]) {
        assert!((got - want).abs() < 1e-6, "{got} instead of {want}");
    }
}

#[test]
fn both_vocabularies() {
    let trl = resolve(json!({
        "preset": "grpo", "num_generations": 4, "beta": 0.04, "epsilon": 0.1, "epsilon_high": 0.3,
        "scale_rewards": "batch", "loss_type": "dr_grpo", "num_iterations": 2,
    }))
    .unwrap();
    let verl = resolve(json!({
        "preset": "grpo", "n": 4, "kl_loss_coef": 0.04, "clip_ratio_low": 0.1, "clip_ratio_high": 0.3,
        "scale_over": "batch", "loss_agg_mode": "seq-mean-token-sum-norm", "ppo_epochs": 2,
    }))
    .unwrap();
    assert_eq!(trl, verl);
    assert_eq!((trl.scale_over, trl.clip_low, trl.clip_high), (ScaleOver::Batch, 0.1, 0.3));
    assert_eq!(resolve(json!({ "preset": "grpo", "norm_adv_by_std_in_grpo": false })).unwrap().std, Std::None);
    let lam = resolve(json!({ "lam": 0.9, "gamma": 0.98, "lambda_token": 1.0 })).unwrap();
    assert_eq!((lam.lambda_token, lam.lambda_agent, lam.gamma_step), (1.0, 0.9, 0.98));
    let level = resolve(json!({ "preset": "grpo", "importance_sampling_level": "sequence" })).unwrap();
    assert_eq!(level.loss, LossKind::Gspo);
    // One name, two meanings: TRL's beta of RLOO is in the reward; CISPO's epsilon_high is the bound itself.
    assert_eq!(resolve(json!({ "preset": "rloo", "beta": 0.1 })).unwrap().kl_reward_coef, 0.1);
    assert_eq!(resolve(json!({ "preset": "cispo", "epsilon_high": 4.0 })).unwrap().ratio_max, 4.0);
    let verl = resolve(json!({ "preset": "cispo", "clip_ratio_low": 10, "clip_ratio_high": 0.2 })).unwrap();
    assert_eq!((verl.ratio_min, verl.ratio_max), (0.0, 1.2));
    // Whole numbers may be written with a point.
    assert_eq!(resolve(json!({ "preset": "grpo", "group_size": 4.0 })).unwrap().group_size, 4);
}

#[test]
fn a_table_of_verl_switches_dynamic_sampling_and_names_its_metric() {
    let of = |table: Value| resolve(json!({ "preset": "grpo", "filter_groups": table }));
    let on = of(json!({ "enable": true, "metric": "exact", "max_num_gen_batches": 3 })).unwrap();
    assert_eq!((on.dynamic_sampling, on.sampling_metric.as_deref(), on.max_sampling_rounds), (true, Some("exact"), 3));
    let total = of(json!({ "enable": true, "metric": "seq_reward" })).unwrap();
    assert_eq!((total.dynamic_sampling, total.sampling_metric, total.max_sampling_rounds), (true, None, 10));
    let off = of(json!({ "enable": false, "metric": "acc", "max_num_gen_batches": 3 })).unwrap();
    assert_eq!((off.dynamic_sampling, off.sampling_metric), (false, None));
    for (wrong, says) in [
        (json!({ "enabled": true }), "enable, metric and max_num_gen_batches"),
        (json!({ "enable": 1 }), "true or false"),
        (json!({ "enable": true, "max_num_gen_batches": 0 }), "at least one round"),
    ] {
        let message = of(wrong).unwrap_err();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn settings_of_single_estimators_reach_them() {
    let pair = |rewards: [f64; 2]| chain_of(&[(0, 0, rewards[0]), (1, 0, rewards[1])], None);
    let of = |settings: Value, chain: &Chain<f64>| {
        let algorithm = resolve(settings).unwrap();
        algorithm.estimate(chain, None, algorithm.rae().unwrap().as_mut()).unwrap().advantage
    };
    let clipped = json!({ "preset": "rloo", "reward_clip_range": [-1, 1] });
    assert_eq!(of(clipped, &pair([100.0, 0.0])), [1.0, -1.0]);
    let rae = json!({ "preset": "rae", "rae_initial": 0.5, "rae_decay": 0.5 });
    assert_eq!(of(rae, &pair([1.0, 1.0])), [0.5, 0.25]);
    let rae = json!({ "preset": "rae", "rae_update_first": true, "rae_decay": 0.75 });
    assert_eq!(of(rae, &pair([1.0, 1.0]))[0], 0.75);
    let two_steps = |episode: u32, rewards: [f64; 2]| {
        let turn = |step: u32| TurnRecord {
            ids: TurnIds { episode, step, ..TurnIds::default() },
            logp: vec![-0.5],
            in_loss: vec![true],
            reward: rewards[step as usize],
        };
        EpisodeRecord { turns: vec![turn(0), turn(1)], close: Close::End }
    };
    let chain = Chain::from_episodes([two_steps(0, [1.0, 10.0]), two_steps(1, [3.0, 20.0])]).unwrap();
    let at_grpo = json!({ "preset": "at-grpo", "std": "none", "turn_returns": true, "gamma_step": 0.5 });
    assert_eq!(of(at_grpo, &chain), [-3.5, -5.0, 3.5, 5.0]);
}

#[test]
fn advantages_weigh_more_where_groups_are_half_solved_or_policies_hesitate() {
    let chain = chain_of(&[(0, 0, 1.0), (1, 0, 0.0), (2, 1, 1.0), (3, 1, 1.0)], None);
    let (reward, entropy) = ([1.0, 0.0, 1.0, 1.0], [0.5, 1.5, 1.0, 0.5]);
    let rollouts = Rollouts { reward: &reward, entropy: &entropy };
    let weighed = |settings: Value| {
        let algorithm = resolve(settings).unwrap();
        algorithm.rescaled(&chain, vec![1.0, -1.0, 1.0, -1.0], rollouts).unwrap()
    };
    assert_eq!(weighed(json!({ "preset": "grpo" })), [1.0, -1.0, 1.0, -1.0]);
    assert_eq!(weighed(json!({ "preset": "grpo", "rescale": "pass-rate" })), [1.5, -1.5, 0.5, -0.5]);
    let none_passes = json!({ "preset": "grpo", "rescale": "pass-rate", "pass_at": 2.0, "rescale_low": 0.0 });
    assert_eq!(weighed(none_passes), [0.0, -0.0, 0.0, -0.0]);
    assert_eq!(weighed(json!({ "preset": "grpo", "rescale": "entropy" })), [0.5, -1.5, 1.0, -0.5]);
    let algorithm = resolve(json!({ "preset": "grpo", "rescale": "entropy" })).unwrap();
    assert!(algorithm.rescaled(&chain, vec![0.0; 4], Rollouts::default()).is_err());
}

#[test]
fn a_given_order_is_kept_and_completed() {
    let algorithm = resolve(json!({ "schedule": "sequential", "order": ["c", "a"] })).unwrap();
    let learners = |labels: &[&str]| algorithm.schedule(0, labels).learners(0, 0, labels.len() as u32).unwrap();
    assert_eq!(learners(&["a", "b", "c"]), [2, 0, 1]);
    assert_eq!(learners(&["a", "b"]), [0, 1]);
    assert_eq!(Algorithm { order: vec![], ..algorithm }.schedule(0, &["a", "b"]).learners(0, 0, 2).unwrap(), [0, 1]);
}

#[test]
fn a_presets_buffer_keeps_its_share_of_another_limit() {
    let dapo = resolve(json!({ "preset": "dapo", "max_response_length": 100 })).unwrap();
    assert_eq!((dapo.max_completion_length, dapo.overlong_buffer), (100, Some(20)));
    let typed = resolve(json!({ "preset": "dapo", "max_response_length": 100, "overlong_buffer_len": 64 })).unwrap();
    assert_eq!(typed.overlong_buffer, Some(64));
}

#[test]
fn wrong_names_are_refused_with_the_nearest() {
    refused(json!({ "preset": "gropo" }), &["gropo", "grpo"]);
    refused(json!({ "num_generation": 4 }), &["num_generation`", "num_generations"]);
    refused(json!({ "clip_lo": 0.1 }), &["clip_low"]);
    refused(json!({ "preset": "grpo", "defaults": "openrlhf" }), &["trl", "verl"]);
    refused(json!({ "preset": "magrpo", "defaults": "trl" }), &["magrpo", "leave `defaults` out"]);
    refused(json!({ "preset": 3 }), &["preset", "name"]);
}

#[test]
fn wrong_values_are_refused_under_the_name_that_was_written() {
    refused(json!({ "lam": 1.5 }), &["[0, 1]"]);
    refused(json!({ "clip_ratio": "wide" }), &["clip_ratio", "wide"]);
    refused(json!({ "preset": "grpo", "loss_type": "best" }), &["loss_type", "dr_grpo"]);
    refused(json!({ "preset": "grpo", "loss_agg_mode": "mean" }), &["loss_agg_mode", "token-mean"]);
    refused(json!({ "preset": "grpo", "group_size": 2.5 }), &["group_size"]);
    refused(json!({ "n": 4, "num_generations": 8 }), &["`n`", "`num_generations`"]);
    assert!(resolve(json!({ "preset": "grpo", "n": 4, "num_generations": 4 })).is_ok(), "agreement is no conflict");
}

#[test]
fn a_key_without_effect_is_refused() {
    refused(json!({ "preset": "grpo", "lam": 0.9 }), &["lam", "gae"]);
    refused(json!({ "preset": "grpo", "cliprange_value": 0.5 }), &["cliprange_value", "critic"]);
    refused(json!({ "preset": "cispo", "dual_clip": 3.0 }), &["dual_clip", "ppo-clip"]);
    refused(json!({ "preset": "dr-grpo", "std_eps": 0.1 }), &["std_eps"]);
    refused(json!({ "preset": "ppo", "agent_iteration_interval": 10 }), &["agent_iteration_interval", "interval"]);
    assert!(resolve(json!({ "schedule": "interval", "agent_iteration_interval": 10 })).is_ok());
}

#[test]
fn contradictions_are_refused_with_a_way_out() {
    refused(json!({ "preset": "grpo", "group_size": 1 }), &["group_size is 1", "at least 2"]);
    refused(json!({ "credit": "team-shared" }), &["once per agent", "last-agent"]);
    assert!(resolve(json!({ "credit": "team-shared", "chain": "agent" })).is_ok());
    refused(json!({ "kl_loss_coef": 0.1, "kl_reward_coef": 0.1 }), &["keep one"]);
    refused(json!({ "preset": "grpo", "warmup_steps": 10 }), &["no", "warm_up_steps"]);
    refused(json!({ "normalise_mean": "group" }), &["removes the reward"]);
}

#[test]
fn a_resolved_preset_reads_back_as_itself() {
    for preset in PRESETS {
        let algorithm = resolve(json!({ "preset": preset })).unwrap();
        let written = serde_json::to_value(&algorithm).unwrap();
        assert_eq!(serde_json::from_value::<Algorithm>(written).unwrap(), algorithm, "{preset}");
    }
}

/// Episodes of one turn of one token: (episode, group, reward), with values where given.
fn chain_of(episodes: &[(u32, u32, f64)], values: Option<&[f64]>) -> Chain<f64> {
    let record = |&(episode, group, reward): &(u32, u32, f64)| {
        let ids = TurnIds { episode, group, ..TurnIds::default() };
        let turn = TurnRecord { ids, logp: vec![-0.5], in_loss: vec![true], reward };
        EpisodeRecord { turns: vec![turn], close: Close::End }
    };
    let mut chain = Chain::from_episodes(episodes.iter().map(record)).expect("a proper chain");
    if let Some(values) = values {
        chain.set_values(values.to_vec()).expect("one value per element");
    }
    chain
}

#[test]
fn every_preset_prefers_the_better_of_two_episodes() {
    let chain = chain_of(&[(0, 0, 1.0), (1, 0, 0.0)], Some(&[0.5, 0.5]));
    for preset in PRESETS {
        let algorithm = resolve(json!({ "preset": preset })).unwrap();
        let elements = algorithm.elements(chain.clone());
        let mut rae = algorithm.rae().unwrap();
        let anchors = [1, 1];
        let estimate = algorithm.estimate(&elements, Some(&anchors), rae.as_mut()).unwrap();
        assert!(estimate.advantage[0] > estimate.advantage[1], "{preset}: {:?}", estimate.advantage);
        assert_eq!(estimate.returns.is_some(), algorithm.needs_critic(), "{preset}");
        assert!(estimate.uniform_groups.is_none_or(|share| share == 0.0), "{preset}");
    }
}

#[test]
fn collapse_is_named() {
    let chain = chain_of(&[(0, 0, 0.5), (1, 0, 0.5), (2, 1, 0.0), (3, 1, 0.0)], None);
    for preset in ["grpo", "dr-grpo", "rloo", "dr-mas", "at-grpo", "magrpo", "gigpo"] {
        let algorithm = resolve(json!({ "preset": preset })).unwrap();
        let estimate = algorithm.estimate(&chain, Some(&[0, 1, 2, 3]), None).unwrap();
        assert_eq!(estimate.uniform_groups, Some(1.0), "{preset}");
        assert!(estimate.advantage.iter().all(|&a| a == 0.0), "{preset}");
    }
}

#[test]
fn what_an_estimator_needs_and_was_not_given_is_named() {
    let chain = chain_of(&[(0, 0, 1.0), (1, 0, 0.0)], None);
    let without = |preset: &str| {
        let algorithm = resolve(json!({ "preset": preset })).unwrap();
        algorithm.estimate(&chain, None, None).unwrap_err().to_string()
    };
    assert!(without("gigpo").contains("anchor"));
    assert!(without("rae").contains("baselines"));
    assert!(without("ppo").contains("set_values"));
}

#[test]
fn every_preset_has_a_loss_that_favours_the_better_action() {
    use marft_algorithms::loss::PolicyBatch;
    for preset in PRESETS {
        let algorithm = resolve(json!({ "preset": preset })).unwrap();
        let new = tch::Tensor::from_slice(&[-0.5_f64, -0.5]).set_requires_grad(true);
        let (old, advantage, in_loss, lengths) = ([-0.5, -0.5], [1.0, -1.0], [true, true], [1, 1]);
        let batch = PolicyBatch::new(&old, &advantage, &in_loss, &lengths);
        let loss = algorithm.policy_loss(&new, &batch, None).unwrap();
        loss.loss.backward();
        let gradient = Vec::<f64>::try_from(&new.grad()).unwrap();
        assert!(gradient[0] < 0.0 && gradient[1] > 0.0, "{preset}: {gradient:?}");
        assert_eq!(algorithm.value_loss().is_some(), algorithm.needs_critic(), "{preset}");
    }
}

#[test]
fn the_decoupled_loss_asks_for_the_behaviour_policy() {
    use marft_algorithms::loss::PolicyBatch;
    let algorithm = resolve(json!({ "loss": "decoupled" })).unwrap();
    let new = tch::Tensor::from_slice(&[-0.5_f64]).set_requires_grad(true);
    let batch = PolicyBatch::new(&[-0.5], &[1.0], &[true], &[1]);
    let refused = algorithm.policy_loss(&new, &batch, None).unwrap_err().to_string();
    assert!(refused.contains("behaviour"), "{refused}");
    assert!(algorithm.policy_loss(&new, &batch, Some(&[-0.5])).is_ok());
}
