//! The values of every preset, as differences from the defaults of [`Algorithm`](super::Algorithm).

use serde_json::{Value, json};

use super::Defaults;

/// The names of all presets.
pub const PRESETS: &[&str] = &[
    "ppo",
    "marft-a",
    "marft-t",
    "marft-v1",
    "marft-v1-token",
    "grpo",
    "dr-grpo",
    "dapo",
    "gspo",
    "cispo",
    "rloo",
    "reinforce++",
    "reinforce++-baseline",
    "gigpo",
    "at-grpo",
    "magrpo",
    "dr-mas",
    "rae",
];

/// Without a critic: no whitening, groups of eight.
fn critic_free(estimator: &str) -> Value {
    json!({
        "estimator": estimator, "group_size": 8, "normalise_mean": "none", "normalise_scale": "none",
    })
}

/// What MARFT's first release hard-codes or defaults to, at both levels.
fn marft_v1() -> Value {
    json!({
        "compat": "marft-v1", "gamma_token": 0.99, "gamma_agent": 0.99, "gamma_step": 0.99, "normalise_std": "biased",
        "entropy_coef": 0.01, "value_coef": 1.0, "value_error": "huber", "epochs": 5, "mini_batches": 4,
        "learning_rate": 5e-7, "critic_learning_rate": 5e-4, "adam_eps": 1e-5, "max_grad_norm": 0.5,
        "schedule": "interval", "update_interval": 0,
    })
}

fn with(mut base: Value, more: Value) -> Value {
    if let (Value::Object(base), Value::Object(more)) = (&mut base, more) {
        base.extend(more);
    }
    base
}

/// The values of a preset in a flavour; `None` if that program has none of that name.
pub(super) fn values(preset: &str, defaults: Defaults) -> Option<Value> {
    let ours = ours(preset)?;
    let more = match defaults {
        Defaults::Marft => json!({}),
        Defaults::Trl => trl(preset)?,
        Defaults::Verl => verl(preset)?,
    };
    Some(with(ours, more))
}

fn ours(preset: &str) -> Option<Value> {
    Some(match preset {
        "ppo" => json!({}),
        "marft-a" => json!({
            "level": "action", "value_coef": 1.0, "value_clip": 0.2, "value_error": "huber", "entropy_coef": 0.01,
            "gamma_step": 0.99, "normalise_std": "biased",
        }),
        "marft-t" => json!({
            "gamma_token": 1.0, "gamma_agent": 1.0, "gamma_step": 0.99, "lambda_token": 1.0, "lambda_agent": 0.95,
            "lambda_step": 0.95, "value_coef": 1.0, "value_error": "huber", "entropy_coef": 0.01,
            "normalise_std": "biased",
        }),
        "marft-v1" => with(marft_v1(), json!({ "level": "action", "kl_gate": 1e-3 })),
        "marft-v1-token" => with(marft_v1(), json!({ "kl_gate": 1.7e-6, "update_offset": 1 })),
        "grpo" => with(critic_free("grpo"), json!({ "aggregation": "seq-mean-token-mean" })),
        "dr-grpo" => with(critic_free("dr-grpo"), json!({ "aggregation": "seq-mean-token-sum-norm" })),
        "dapo" => with(
            critic_free("grpo"),
            json!({
                "clip_high": 0.28, "dynamic_sampling": true, "max_completion_length": 20_480, "overlong_buffer": 4096,
            }),
        ),
        "gspo" => with(
            critic_free("grpo"),
            json!({
                "loss": "gspo", "clip_low": 3e-4, "clip_high": 4e-4, "aggregation": "seq-mean-token-mean", "mini_batches": 4,
            }),
        ),
        "cispo" => with(critic_free("grpo"), json!({ "loss": "cispo" })),
        "rloo" => with(critic_free("rloo"), json!({ "group_size": 4, "kl_reward_coef": 0.05 })),
        "reinforce++" => with(critic_free("reinforce-pp"), json!({ "group_size": 1, "kl_reward_coef": 0.001 })),
        "reinforce++-baseline" => critic_free("reinforce-pp-baseline"),
        "gigpo" => with(
            critic_free("gigpo"),
            json!({
                "gamma_step": 0.95, "aggregation": "seq-mean-token-mean", "kl_loss_coef": 0.01,
            }),
        ),
        "at-grpo" => {
            with(critic_free("at-grpo"), json!({ "credit": "team-shared", "aggregation": "seq-mean-token-mean" }))
        }
        "magrpo" => with(
            critic_free("magrpo"),
            json!({
                "group_size": 4, "gamma_step": 0.9, "std": "none", "aggregation": "seq-mean-token-mean",
                "learning_rate": 5e-6,
            }),
        ),
        "dr-mas" => with(critic_free("dr-mas"), json!({ "aggregation": "token-mean" })),
        "rae" => with(critic_free("rae"), json!({ "group_size": 1, "loss": "reinforce", "credit": "team-shared" })),
        _ => return None,
    })
}

/// What TRL's trainers do where a user sets nothing but the algorithm.
fn trl(preset: &str) -> Option<Value> {
    // GRPOConfig: group by 8, std + 1e-4, no divergence, AdamW without decay, weights between engines up to 3.
    let grpo = json!({ "std_eps": 1e-4, "sampler_weight_max": 3.0 });
    Some(match preset {
        "ppo" => json!({
            "learning_rate": 3e-6, "critic_learning_rate": 3e-6, "epochs": 4, "kl_reward_coef": 0.05,
        }),
        "grpo" | "gspo" => grpo,
        // No deviation, so nothing is added to it.
        "dr-grpo" => json!({ "sampler_weight_max": 3.0 }),
        "dapo" => with(
            grpo,
            json!({
                "dynamic_sampling": false, "overlong_buffer": null, "max_completion_length": 512, "mask_truncated": true,
            }),
        ),
        // Of the recipe that sets epsilon_high = 5.
        "cispo" => with(grpo, json!({ "ratio_max": 5.0, "scale_over": "batch" })),
        "rloo" => json!({ "group_size": 2, "aggregation": "seq-mean-token-sum" }),
        _ => return None,
    })
}

/// What verl's documented recipes set.
fn verl(preset: &str) -> Option<Value> {
    // A step of 1024 prompts is cut into mini-batches of 256.
    let actor = json!({ "weight_decay": 0.01, "dual_clip": 3.0, "mini_batches": 4 });
    Some(match preset {
        // The critic has an optimizer of its own.
        "ppo" => with(
            actor,
            json!({
                "lambda_token": 1.0, "lambda_agent": 1.0, "lambda_step": 1.0, "value_clip": 0.5, "value_coef": 1.0,
            }),
        ),
        "grpo" => with(
            actor,
            json!({ "group_size": 5, "kl_loss_coef": 0.001, "kl_loss_type": "low_var_kl", "aggregation": "token-mean" }),
        ),
        "dr-grpo" => with(actor, json!({ "group_size": 5 })),
        // 512 prompts of 16 answers, mini-batches of 512 answers.
        "dapo" => with(actor, json!({ "group_size": 16, "dual_clip": 10.0, "mini_batches": 16 })),
        "gspo" => json!({ "group_size": 5, "weight_decay": 0.01 }),
        // clip_ratio_low 10, clip_ratio_high 0.2: the weight is kept in [0, 1.2].
        "cispo" => json!({ "group_size": 5, "weight_decay": 0.01, "ratio_max": 1.2, "mini_batches": 4 }),
        "reinforce++" => with(actor, json!({ "kl_reward_coef": 0.001 })),
        "rloo" | "reinforce++-baseline" => with(actor, json!({ "group_size": 5, "kl_reward_coef": 0.001 })),
        _ => return None,
    })
}
