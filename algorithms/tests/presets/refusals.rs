//! Every refused combination says why, and what to use.

use marft_algorithms::preset::{Algorithm, Linkage};
use serde_json::{Value, json};

use super::{chain_of, refused, resolve};

/// The contradictions that the module above does not meet.
#[test]
fn contradictions() {
    refused(json!({ "level": "action", "loss": "gspo" }), &["one log-probability", "level = \"token\"", "ppo-clip"]);
    refused(json!({ "estimator": "joint", "chain": "agent" }), &["takes it apart", "estimator = \"gae\""]);
    refused(json!({ "dynamic_sampling": true }), &["has no groups", "leave dynamic_sampling out"]);
    refused(json!({ "rescale": "pass-rate" }), &["how many of them passed", "rescale = \"entropy\""]);
    refused(json!({ "preset": "gigpo", "chain": "agent" }), &["another order", "leave chain out"]);
    for preset in ["marft-t", "ppo", "reinforce++", "grpo", "dr-grpo", "rloo", "magrpo", "dr-mas", "gigpo"] {
        refused(json!({ "preset": preset, "credit": "team-shared" }), &["once per agent", "chain = \"agent\""]);
        for credit in ["difference", "leave-one-out"] {
            refused(json!({ "preset": preset, "credit": credit }), &["what one agent was worth", "chain = \"agent\""]);
        }
    }
    for preset in ["at-grpo", "rae"] {
        assert!(resolve(json!({ "preset": preset, "credit": "difference" })).is_ok(), "{preset}");
    }
    for preset in ["dr-grpo", "rloo", "reinforce++-baseline", "gigpo", "at-grpo", "magrpo", "dr-mas", "dapo"] {
        refused(json!({ "preset": preset, "n": 1 }), &["group_size is 1", "at least 2", "gae, reinforce-pp or rae"]);
    }
}

#[test]
fn a_setting_out_of_range_is_named_with_its_range() {
    let shares = ["credit_discount", "team_weight", "gamma_token", "gamma_agent", "gamma_step", "lambda_token"];
    for key in shares.into_iter().chain(["lambda_agent", "lambda_step"]) {
        for value in [-0.1, 1.1] {
            refused(json!({ key: value }), &[key, &value.to_string(), "it must lie in [0, 1]"]);
        }
    }
    let not_negative = ["clip_low", "clip_high", "std_eps", "step_weight", "kl_loss_coef", "kl_reward_coef"];
    let rates = ["value_coef", "learning_rate", "critic_learning_rate", "weight_decay", "overlong_factor"];
    for key in not_negative.into_iter().chain(rates) {
        refused(json!({ key: -0.5 }), &[key, "-0.5", "it must not be negative"]);
    }
    for (key, value, reason) in [
        ("rae_decay", json!(1.0), "it must lie in [0, 1)"),
        ("ratio_min", json!(1.5), "it must lie in [0, 1]"),
        ("ratio_max", json!(0.5), "it must be at least 1"),
        ("huber_delta", json!(0.0), "it must be positive"),
        ("dual_clip", json!(1.0), "it must exceed 1 + clip_high"),
        ("dual_clip", json!(1.1), "it must exceed 1 + clip_high"),
        ("value_clip", json!(0.0), "it must be positive"),
        ("behaviour_cap", json!(0.0), "it must be positive"),
        ("kl_gate", json!(0.0), "it must be positive"),
        ("kl_gate", json!(-1.0), "it must be positive"),
        ("adam_eps", json!(0.0), "it must be positive"),
        ("max_completion_length", json!(0), "at least one token"),
        ("overlong_buffer", json!(0), "from 1 to max_completion_length"),
        ("overlong_buffer", json!(600), "from 1 to max_completion_length"),
        ("max_sampling_rounds", json!(0), "at least one round"),
        ("rescale_low", json!(-0.5), "into its opposite"),
        ("rescale_high", json!(0.4), "not be below rescale_low"),
        ("reward_clip", json!([1.0, -1.0]), "the lower bound first"),
        ("sampler_weight_max", json!(0.0), "it must be positive"),
        ("sampler_weight_min", json!(-0.5), "nor exceed sampler_weight_max"),
        ("max_grad_norm", json!(0.0), "it must be positive"),
        ("group_size", json!(0), "at least one episode"),
        ("epochs", json!(0), "at least once"),
        ("mini_batches", json!(0), "at least one step"),
    ] {
        refused(json!({ key: value }), &[key, reason]);
    }
}

#[test]
fn a_setting_without_effect_is_named_with_what_would_read_it() {
    let critic = "estimator = \"gae\"";
    let cases: [(Value, &str, &str); 60] = [
        (json!({ "estimator": "joint", "lambda_token": 0.9 }), "lambda_token", "reads lambda_step alone"),
        (json!({ "estimator": "joint", "lambda_agent": 0.9 }), "lambda_agent", "reads lambda_step alone"),
        (json!({ "level": "action", "gamma_token": 0.9 }), "gamma_token", "no borders between tokens"),
        (json!({ "preset": "marft-a", "lambda_token": 0.9 }), "lambda_token", "no borders between tokens"),
        (json!({ "preset": "marft-v1", "normalise_mean": "none" }), "normalise_mean", "every mini-batch"),
        (json!({ "preset": "marft-v1", "normalise_scale": "none" }), "normalise_scale", "every mini-batch"),
        (json!({ "preset": "marft-v1", "normalise_std": "biased" }), "normalise_std", "every mini-batch"),
        (json!({ "compat": "marft-v1", "whiten_advantages": true }), "whiten_advantages", "every mini-batch"),
        (json!({ "preset": "at-grpo", "gamma_step": 0.9 }), "gamma_step", "without discount"),
        (json!({ "preset": "grpo", "turn_returns": true }), "turn_returns", "only at-grpo"),
        (json!({ "preset": "grpo", "reward_clip_range": [0, 1] }), "reward_clip_range", "only rloo"),
        (json!({ "preset": "grpo", "rae_initial": 0.5 }), "rae_initial", "only rae"),
        (json!({ "preset": "grpo", "rae_update_first": true }), "rae_update_first", "only rae"),
        (json!({ "rescale_low": 0.2 }), "rescale_low", "rescale is none"),
        (json!({ "rescale": "entropy", "pass_at": 0.9 }), "pass_at", "pass-rate"),
        (json!({ "normalization_mode": "token" }), "normalization_mode", "level = \"action\""),
        (json!({ "preset": "grpo", "sampling_metric": "exact" }), "sampling_metric", "dynamic_sampling is off"),
        (json!({ "order": ["a"] }), "order", "schedule = \"sequential\""),
        (json!({ "schedule": "sequential-random", "order": ["a"] }), "order", "schedule = \"sequential\""),
        (json!({ "preset": "grpo", "lambda_token": 0.9 }), "lambda_token", critic),
        (json!({ "preset": "grpo", "lambda_agent": 0.9 }), "lambda_agent", critic),
        (json!({ "preset": "grpo", "lambda_step": 0.9 }), "lambda_step", critic),
        (json!({ "preset": "grpo", "gamma_token": 0.9 }), "gamma_token", "discounts no tokens"),
        (json!({ "preset": "magrpo", "gamma_agent": 0.9 }), "gamma_agent", "no agents"),
        (json!({ "preset": "grpo", "gamma_step": 0.9 }), "gamma_step", "without discount"),
        (json!({ "preset": "rloo", "std": "none" }), "std", "grpo does"),
        (json!({ "preset": "grpo", "std": "none", "std_eps": 0.1 }), "std_eps", "nothing is divided"),
        (json!({ "preset": "gigpo", "scale_over": "batch" }), "scale_over", "only grpo"),
        (json!({ "preset": "grpo", "std": "none", "scale_over": "batch" }), "scale_over", "only grpo"),
        (json!({ "preset": "grpo", "step_weight": 0.5 }), "step_weight", "only gigpo"),
        (json!({ "preset": "grpo", "rae_decay": 0.5 }), "rae_decay", "only rae"),
        (json!({ "preset": "grpo", "normalise_std": "biased" }), "normalise_std", "normalise_scale is none"),
        (json!({ "credit_discount": 0.5 }), "credit_discount", "credit = \"step-discount\""),
        (json!({ "team_weight": 0.5 }), "team_weight", "credit = \"own-team-mix\""),
        (json!({ "preset": "rae", "clip_low": 0.1 }), "clip_low", "does not clip"),
        (json!({ "preset": "rae", "clip_high": 0.1 }), "clip_high", "does not clip"),
        // verl's recipe sets it for gspo, whose loss there does not read it either.
        (json!({ "preset": "gspo", "defaults": "verl", "clip_ratio_c": 10.0 }), "clip_ratio_c", "loss = \"ppo-clip\""),
        (json!({ "loss": "decoupled", "dual_clip": 3.0 }), "dual_clip", "loss = \"ppo-clip\""),
        (json!({ "ratio_min": 0.5 }), "ratio_min", "loss = \"cispo\""),
        (json!({ "ratio_max": 2.0 }), "ratio_max", "loss = \"cispo\""),
        (json!({ "behaviour_cap": 3.0 }), "behaviour_cap", "loss = \"decoupled\""),
        (json!({ "max_new_tokens": 64 }), "max_new_tokens", "seq-mean-token-sum-norm"),
        (json!({ "preset": "grpo", "value_coef": 0.5 }), "value_coef", critic),
        (json!({ "preset": "grpo", "value_clip": 0.5 }), "value_clip", critic),
        (json!({ "preset": "grpo", "value_error": "mse" }), "value_error", critic),
        (json!({ "preset": "grpo", "critic_lr": 1e-4 }), "critic_lr", critic),
        (json!({ "huber_delta": 5.0 }), "huber_delta", "value_error = \"huber\""),
        (json!({ "preset": "grpo", "huber_delta": 5.0 }), "huber_delta", "value_error = \"huber\""),
        (json!({ "preset": "grpo", "max_num_gen_batches": 3 }), "max_num_gen_batches", "dynamic_sampling is off"),
        (json!({ "preset": "grpo", "overlong_factor": 0.5 }), "overlong_factor", "overlong_buffer is not set"),
        (json!({ "kl_loss_type": "k2" }), "kl_loss_type", "kl_loss_coef is 0"),
        (json!({ "kl_penalty": "mse" }), "kl_penalty", "kl_reward_coef is 0"),
        (json!({ "rollout_is": "token" }), "rollout_is", "sampler_weight_max is not set"),
        (json!({ "sampler_weight_mode": "token_mask" }), "sampler_weight_mode", "sampler_weight_max is not set"),
        (json!({ "sampler_weight_min": 0.5 }), "sampler_weight_min", "sampler_weight_max is not set"),
        (json!({ "update_interval": 5 }), "update_interval", "schedule = \"interval\""),
        (json!({ "update_offset": 1 }), "update_offset", "schedule = \"interval\""),
        (json!({ "schedule": "sequential", "update_offset": 1 }), "update_offset", "schedule = \"interval\""),
        (json!({ "preset": "reinforce++", "vf_coef": 0.1 }), "vf_coef", critic),
        (json!({ "preset": "rae", "gae_lambda": 0.9 }), "gae_lambda", critic),
    ];
    // a name for several settings has an effect where one of them is read
    for settings in [json!({ "estimator": "joint", "lam": 0.9 }), json!({ "preset": "gigpo", "gamma": 0.9 })] {
        assert!(resolve(settings.clone()).is_ok(), "{settings}");
    }
    for (settings, key, reason) in cases {
        refused(settings, &[&format!("`{key}` would have no effect: "), reason]);
    }
}

#[test]
fn an_estimate_that_lacks_something_says_what() {
    let chain = chain_of(&[(0, 0, 1.0), (1, 0, 0.0)], None);
    let of = |settings: Value| -> Algorithm { resolve(settings).expect("a preset") };
    let apart = Algorithm { chain: Linkage::Agent, ..of(json!({ "preset": "gigpo" })) };
    let refusal = apart.estimate(&chain, Some(&[1, 1]), None).unwrap_err().to_string();
    assert!(refusal.contains("chain = \"team\""), "{refusal}");
    let refusal = of(json!({ "preset": "gigpo" })).estimate(&chain, Some(&[1]), None).unwrap_err().to_string();
    assert!(refusal.contains("anchor has 1 entries, expected 2"), "{refusal}");
    // Two tasks with one episode each: what a group size of 1 leads to where nobody checked it.
    let alone = chain_of(&[(0, 0, 1.0), (1, 1, 0.0)], None);
    for preset in ["grpo", "dr-grpo", "rloo", "reinforce++-baseline", "dr-mas", "at-grpo", "magrpo", "gigpo"] {
        let refusal = of(json!({ "preset": preset })).estimate(&alone, Some(&[1, 1]), None).unwrap_err().to_string();
        let says = ["compares the members of a group", "group_size", "critic (gae)"];
        assert!(says.iter().all(|part| refusal.contains(part)), "{preset}: {refusal}");
    }
}
