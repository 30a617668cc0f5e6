//! The values that papers and programs state, setting by setting, and the names under which their users write them.

use marft_algorithms::kl::KlEstimator;
use marft_algorithms::loss::{Tis, TisMode};
use marft_algorithms::preset::Algorithm;
use serde_json::{Value, json};

use super::resolve;

/// Each setting of a resolved preset that a table states.
#[track_caller]
fn holds(settings: Value, want: Value) {
    let got = serde_json::to_value(resolve(settings.clone()).expect("a preset")).expect("a table");
    for (key, want) in want.as_object().expect("a table") {
        let same = got[key] == *want || got[key].as_f64().zip(want.as_f64()).is_some_and(|(got, want)| got == want);
        assert!(same, "{settings}: {key} is {}, expected {want}", got[key]);
    }
}

/// config.py, the trainers and the sample script of MARFT's first release.
#[test]
fn marfts_first_release() {
    for (preset, own) in [
        ("marft-v1", json!({ "level": "action", "kl_gate": 1e-3, "update_offset": 0 })),
        ("marft-v1-token", json!({ "level": "token", "kl_gate": 1.7e-6, "update_offset": 1 })),
    ] {
        holds(json!({ "preset": preset }), own);
        holds(
            json!({ "preset": preset }),
            json!({
                "compat": "marft-v1", "estimator": "gae", "chain": "team", "credit": "last-agent", "loss": "ppo-clip",
                "gamma_token": 0.99, "gamma_agent": 0.99, "gamma_step": 0.99, "lambda_token": 0.95,
                "lambda_agent": 0.95, "lambda_step": 0.95, "clip_low": 0.2, "clip_high": 0.2, "value_clip": 0.2,
                "value_coef": 1, "value_error": "huber", "huber_delta": 10, "entropy_coef": 0.01, "kl_loss_coef": 0,
                "kl_reward_coef": 0, "epochs": 5, "mini_batches": 4, "schedule": "interval", "update_interval": 0,
                "warm_up_steps": 0, "learning_rate": 5e-7, "critic_learning_rate": 5e-4, "weight_decay": 0,
                "adam_eps": 1e-5, "max_grad_norm": 0.5,
            }),
        );
    }
    holds(
        json!({
            "preset": "marft-v1", "agent_iteration_interval": 1000, "lr": 1e-6, "critic_lr": 5e-5, "ppo_epoch": 1,
            "num_mini_batch": 1,
        }),
        json!({
            "update_interval": 1000, "learning_rate": 1e-6, "critic_learning_rate": 5e-5, "epochs": 1, "mini_batches": 1,
        }),
    );
}

/// floor(s / 1000) mod 2, and one later at the token level; interval 0 trains both. [step, action, token].
#[test]
fn the_first_release_begins_with_another_agent_at_each_level() {
    let of = |preset: &str, interval: u64| -> Algorithm {
        resolve(json!({ "preset": preset, "agent_iteration_interval": interval })).expect("a preset")
    };
    let learners = |algorithm: &Algorithm, step| algorithm.schedule(0, &[]).learners(step, 0, 2).expect("two agents");
    let (action, token) = (of("marft-v1", 1000), of("marft-v1-token", 1000));
    for [step, first, second] in
        [[0, 0, 1], [4, 0, 1], [999, 0, 1], [1000, 1, 0], [1999, 1, 0], [2000, 0, 1], [3000, 1, 0]]
    {
        assert_eq!(learners(&action, step), [first as u32], "{step}");
        assert_eq!(learners(&token, step), [second as u32], "{step}");
    }
    assert_eq!(learners(&of("marft-v1-token", 0), 1000), [0, 1]);
}

/// trl/trainer/grpo_config.py, rloo_config.py, experimental/ppo, and the paper index of its documentation.
#[test]
fn trl() {
    let of = |preset: &str| json!({ "preset": preset, "defaults": "trl" });
    holds(
        of("ppo"),
        json!({
            "learning_rate": 3e-6, "critic_learning_rate": 3e-6, "weight_decay": 0, "adam_eps": 1e-8,
            "max_grad_norm": 1, "epochs": 4, "mini_batches": 1, "clip_low": 0.2, "clip_high": 0.2, "value_clip": 0.2,
            "value_coef": 0.1, "gamma_step": 1, "lambda_token": 0.95, "lambda_step": 0.95, "kl_reward_coef": 0.05,
            "kl_loss_coef": 0, "normalise_mean": "batch", "normalise_scale": "batch", "normalise_std": "unbiased",
        }),
    );
    holds(
        of("grpo"),
        json!({
            "estimator": "grpo", "group_size": 8, "std": "unbiased", "scale_over": "group", "std_eps": 1e-4,
            "loss": "ppo-clip", "clip_low": 0.2, "clip_high": 0.2, "dual_clip": null, "kl_loss_coef": 0,
            "aggregation": "seq-mean-token-mean", "entropy_coef": 0, "sampler_weight_max": 3, "mask_truncated": false,
            "dynamic_sampling": false, "learning_rate": 1e-6, "weight_decay": 0, "adam_eps": 1e-8, "max_grad_norm": 1,
            "epochs": 1, "mini_batches": 1, "normalise_mean": "none", "normalise_scale": "none",
        }),
    );
    holds(
        of("dapo"),
        json!({
            "clip_low": 0.2, "clip_high": 0.28, "aggregation": "token-mean", "kl_loss_coef": 0, "mask_truncated": true,
            "dynamic_sampling": false,
        }),
    );
    holds(
        of("gspo"),
        json!({
            "loss": "gspo", "clip_low": 3e-4, "clip_high": 4e-4, "kl_loss_coef": 0, "mini_batches": 4,
            "aggregation": "seq-mean-token-mean",
        }),
    );
    // The recipe with epsilon_high = 5 scales by the batch.
    holds(of("cispo"), json!({ "loss": "cispo", "ratio_min": 0, "ratio_max": 5, "scale_over": "batch" }));
    holds(
        of("dr-grpo"),
        json!({ "estimator": "dr-grpo", "aggregation": "seq-mean-token-sum-norm", "max_completion_length": 512 }),
    );
    holds(
        of("rloo"),
        json!({
            "estimator": "rloo", "group_size": 2, "kl_reward_coef": 0.05, "kl_loss_coef": 0, "clip_low": 0.2,
            "clip_high": 0.2, "epochs": 1, "normalise_mean": "none", "normalise_scale": "none",
        }),
    );
}

/// verl/trainer/config/_generated_ppo_trainer.yaml, and the recipes of its documentation.
#[test]
fn verl() {
    let of = |preset: &str| json!({ "preset": preset, "defaults": "verl" });
    // 1024 prompts a step in mini-batches of 256: four updates.
    let actor = json!({
        "learning_rate": 1e-6, "weight_decay": 0.01, "max_grad_norm": 1, "epochs": 1, "mini_batches": 4,
        "clip_low": 0.2, "clip_high": 0.2, "dual_clip": 3, "entropy_coef": 0, "sampler_weight_max": null,
        "dynamic_sampling": false, "mask_truncated": false,
    });
    for preset in ["ppo", "grpo", "dr-grpo", "rloo", "reinforce++", "reinforce++-baseline"] {
        holds(of(preset), actor.clone());
    }
    // The critic has an optimiser of its own, so its loss has no coefficient.
    holds(
        of("ppo"),
        json!({
            "critic_learning_rate": 1e-5, "value_clip": 0.5, "value_coef": 1, "value_error": "mse", "gamma_step": 1,
            "lambda_token": 1, "lambda_step": 1, "aggregation": "token-mean", "kl_loss_coef": 0, "kl_reward_coef": 0,
            "group_size": 1, "normalise_mean": "batch", "normalise_scale": "batch", "normalise_std": "unbiased",
        }),
    );
    holds(
        of("grpo"),
        json!({
            "group_size": 5, "std": "unbiased", "std_eps": 1e-6, "kl_loss_coef": 0.001, "kl_loss_type": "low_var_kl", "kl_reward_coef": 0,
            "aggregation": "token-mean",
        }),
    );
    // 512 prompts of 16 answers a step, mini-batches of 512 answers: 16 updates.
    holds(
        of("dapo"),
        json!({
            "clip_low": 0.2, "clip_high": 0.28, "dual_clip": 10, "dynamic_sampling": true, "max_sampling_rounds": 10,
            "aggregation": "token-mean", "kl_loss_coef": 0, "kl_reward_coef": 0, "overlong_buffer": 4096,
            "overlong_factor": 1, "max_completion_length": 20_480, "group_size": 16, "mini_batches": 16,
        }),
    );
    holds(of("rloo"), json!({ "estimator": "rloo", "kl_reward_coef": 0.001 }));
    holds(
        of("gspo"),
        json!({ "loss": "gspo", "clip_low": 3e-4, "clip_high": 4e-4, "aggregation": "seq-mean-token-mean" }),
    );
    holds(of("cispo"), json!({ "ratio_min": 0, "ratio_max": 1.2 }));
}

#[test]
fn ours() {
    let of = |preset: &str| json!({ "preset": preset });
    holds(
        of("ppo"),
        json!({
            "clip_low": 0.2, "clip_high": 0.2, "lambda_token": 0.95, "gamma_token": 1, "gamma_step": 1,
            "value_clip": 0.2, "value_coef": 0.1, "epochs": 1, "normalise_mean": "batch", "normalise_scale": "batch",
            "team_weight": 0.5, "behaviour_cap": 5,
        }),
    );
    holds(
        of("grpo"),
        json!({
            "group_size": 8, "clip_low": 0.2, "kl_loss_coef": 0, "std": "unbiased",
            "aggregation": "seq-mean-token-mean",
        }),
    );
    holds(
        of("dapo"),
        json!({
            "clip_low": 0.2, "clip_high": 0.28, "aggregation": "token-mean", "kl_loss_coef": 0,
            "dynamic_sampling": true, "max_sampling_rounds": 10, "max_completion_length": 20_480,
            "overlong_buffer": 4096, "overlong_factor": 1,
        }),
    );
    holds(of("rloo"), json!({ "estimator": "rloo", "group_size": 4, "kl_reward_coef": 0.05 }));
    holds(
        of("gspo"),
        json!({
            "clip_low": 3e-4, "clip_high": 4e-4, "kl_loss_coef": 0, "mini_batches": 4,
            "aggregation": "seq-mean-token-mean",
        }),
    );
    // Undiscounted inside an action, with a lambda of its own.
    holds(
        of("marft-t"),
        json!({ "gamma_token": 1, "gamma_agent": 1, "gamma_step": 0.99, "lambda_token": 1, "lambda_agent": 0.95 }),
    );
    // The programs of the papers: CoMLRL, Dr.MAS, PettingLLMs, SPIRAL, verl-agent.
    holds(of("magrpo"), json!({ "group_size": 4, "gamma_step": 0.9, "std": "none", "learning_rate": 5e-6 }));
    holds(of("dr-mas"), json!({ "group_size": 8, "learning_rate": 1e-6, "kl_loss_coef": 0, "kl_reward_coef": 0 }));
    holds(of("at-grpo"), json!({ "group_size": 8, "credit": "team-shared" }));
    holds(of("rae"), json!({ "rae_decay": 0.95, "group_size": 1 }));
    holds(of("gigpo"), json!({ "gamma_step": 0.95, "step_weight": 1, "group_size": 8 }));
}

/// Settings that go round on their own: the paper index of TRL for DeepSeek-R1, and a two-sided clip.
#[test]
fn settings_that_are_pasted() {
    holds(
        json!({
            "preset": "grpo", "defaults": "trl", "beta": 0.001, "epsilon": 10.0, "num_generations": 16,
            "steps_per_generation": 16,
        }),
        json!({ "kl_loss_coef": 0.001, "clip_low": 10, "clip_high": 10, "group_size": 16, "mini_batches": 16 }),
    );
    holds(json!({ "preset": "grpo", "defaults": "trl", "delta": 4 }), json!({ "dual_clip": 4, "clip_high": 0.2 }));
    holds(
        json!({ "preset": "grpo", "scale_rewards": "batch", "loss_type": "dapo", "beta": 0.0 }),
        json!({ "scale_over": "batch", "aggregation": "token-mean" }),
    );
}

#[test]
fn every_name_of_a_setting_means_it() {
    let groups: [(&str, Value, &[&str]); 22] = [
        ("grpo", json!(4), &["group_size", "num_generations", "n", "n_samples"]),
        ("grpo", json!(0.04), &["kl_loss_coef", "beta"]),
        ("ppo", json!(0.1), &["epsilon", "clip_ratio", "eps_clip", "clip_param", "cliprange"]),
        ("ppo", json!(0.1), &["clip_low", "epsilon_low", "clip_ratio_low"]),
        ("ppo", json!(0.3), &["clip_high", "epsilon_high", "clip_ratio_high", "eps_clip_higher"]),
        ("ppo", json!(4.0), &["dual_clip", "delta", "clip_ratio_c"]),
        ("ppo", json!(0.9), &["lambda", "lam", "lambd", "gae_lambda"]),
        ("ppo", json!(0.9), &["gamma", "discount"]),
        ("ppo", json!(0.5), &["value_clip", "cliprange_value"]),
        ("ppo", json!(0.5), &["value_coef", "vf_coef", "value_loss_coef"]),
        ("ppo", json!(0.02), &["kl_reward_coef", "kl_coef", "kl_ctl", "init_kl_coef"]),
        ("ppo", json!(0.02), &["entropy_coef", "entropy_coeff"]),
        ("ppo", json!(3), &["epochs", "ppo_epochs", "num_ppo_epochs", "num_iterations", "ppo_epoch"]),
        ("ppo", json!(2), &["mini_batches", "num_mini_batches", "num_mini_batch", "steps_per_generation"]),
        ("ppo", json!(0.3), &["max_grad_norm", "grad_clip", "clip_grad"]),
        ("ppo", json!(2.0), &["sampler_weight_max", "rollout_is_threshold", "vllm_importance_sampling_clip_max"]),
        ("trl grpo", json!(0.5), &["sampler_weight_min", "vllm_importance_sampling_clip_min"]),
        ("trl grpo", json!("token_mask"), &["sampler_weight_mode", "vllm_importance_sampling_mode"]),
        ("rloo", json!("low_var_kl"), &["kl_reward_type", "kl_penalty", "kl_estimator"]),
        ("grpo", json!(true), &["mask_truncated", "mask_truncated_completions"]),
        ("dapo", json!(7), &["max_sampling_rounds", "max_num_gen_batches"]),
        ("ppo", json!("seq-mean-token-sum"), &["aggregation", "loss_agg_mode"]),
    ];
    for (preset, value, names) in groups {
        let (defaults, preset) = preset.split_once(' ').unwrap_or(("marft", preset));
        let plain = resolve(json!({ "preset": preset, "defaults": defaults })).expect("a preset");
        let with = |name: &str| resolve(json!({ "preset": preset, "defaults": defaults, name: value })).expect(name);
        for name in names {
            assert_eq!(with(name), with(names[0]), "{name}");
            assert_ne!(with(name), plain, "{name}");
        }
    }
}

/// The values of the names that differ by program.
#[test]
fn every_value_of_a_name_means_what_its_program_says() {
    for (name, value, key, ours) in [
        ("loss_agg_mode", "token-mean", "aggregation", "token-mean"),
        ("loss_agg_mode", "seq-mean-token-sum", "aggregation", "seq-mean-token-sum"),
        ("loss_agg_mode", "seq-mean-token-mean", "aggregation", "seq-mean-token-mean"),
        ("loss_agg_mode", "seq-mean-token-sum-norm", "aggregation", "seq-mean-token-sum-norm"),
        ("loss_type", "grpo", "aggregation", "seq-mean-token-mean"),
        ("loss_type", "dapo", "aggregation", "token-mean"),
        ("loss_type", "bnpo", "aggregation", "token-mean"),
        ("loss_type", "dr_grpo", "aggregation", "seq-mean-token-sum-norm"),
        ("importance_sampling_level", "token", "loss", "ppo-clip"),
        ("importance_sampling_level", "sequence", "loss", "gspo"),
        ("rollout_is", "token", "sampler_weight_mode", "token_truncate"),
        ("rollout_is", "sequence", "sampler_weight_mode", "sequence_truncate"),
    ] {
        holds(json!({ "preset": "grpo", "defaults": "trl", name: value }), json!({ key: ours }));
    }
    for (trl, verl) in [(json!("group"), json!(true)), (json!("none"), json!(false))] {
        let written = |name: &str, value: &Value| resolve(json!({ "preset": "grpo", name: value })).expect("a preset");
        assert_eq!(written("scale_rewards", &trl), written("norm_adv_by_std_in_grpo", &verl));
        assert_eq!(written("scale_rewards", &verl), written("norm_adv_by_std_in_grpo", &verl));
    }
    for (estimator, ours) in [
        ("gae", "gae"),
        ("grpo", "grpo"),
        ("rloo", "rloo"),
        ("reinforce_plus_plus", "reinforce-pp"),
        ("reinforce_plus_plus_baseline", "reinforce-pp-baseline"),
        ("gigpo", "gigpo"),
    ] {
        let settings = json!({ "preset": "ppo", "adv_estimator": estimator, "group_size": 4 });
        holds(settings, json!({ "estimator": ours }));
    }
    holds(json!({ "preset": "grpo", "defaults": "verl", "use_kl_loss": false }), json!({ "kl_loss_coef": 0 }));
    holds(json!({ "preset": "rloo", "use_kl_in_reward": false }), json!({ "kl_reward_coef": 0 }));
    holds(json!({ "preset": "grpo", "filter_groups": true }), json!({ "dynamic_sampling": true }));
}

/// What a run file says of divergences and of weights between sampler and trainer is what its losses are told.
#[test]
fn estimators_and_modes_reach_their_losses() {
    let of = |settings: Value| resolve(settings).expect("a preset");
    let verl = of(json!({ "preset": "grpo", "defaults": "verl" }));
    assert_eq!(verl.kl_in_loss().expect("a coefficient").estimator, KlEstimator::K3Capped);
    let k2 = of(json!({ "preset": "grpo", "beta": 0.1, "kl_loss_type": "k2" }));
    assert_eq!(k2.kl_in_loss().expect("a coefficient").estimator, KlEstimator::K2);
    let trl = json!({ "preset": "grpo", "defaults": "trl", "rollout_is": "token", "sampler_weight_min": 0.5 });
    let correction = of(trl).sampler_correction().expect("TRL corrects");
    assert_eq!(correction, Tis { mode: TisMode::TokenTruncate, max: 3.0, min: Some(0.5) });
}
