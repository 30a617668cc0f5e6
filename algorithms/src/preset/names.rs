//! The two vocabularies: which names of TRL, verl and their relatives mean which setting of ours.
//!
//! A name may stand for several settings (`gamma` for all three discounts), and some values need translation (`loss_type =
//! "dr_grpo"` is an aggregation). Names of one setting that are given together must agree.

use serde_json::{Map, Value, json};

use super::LossKind;

/// Settings that go by another name, value unchanged.
pub(super) const ALIASES: &[(&str, &[&str])] = &[
    ("num_generations", &["group_size"]),
    ("n", &["group_size"]),
    ("n_samples", &["group_size"]),
    ("gamma", &["gamma_token", "gamma_agent", "gamma_step"]),
    ("discount", &["gamma_token", "gamma_agent", "gamma_step"]),
    ("lambda", &["lambda_token", "lambda_agent", "lambda_step"]),
    ("lam", &["lambda_token", "lambda_agent", "lambda_step"]),
    ("lambd", &["lambda_token", "lambda_agent", "lambda_step"]),
    ("gae_lambda", &["lambda_token", "lambda_agent", "lambda_step"]),
    ("beta", &["kl_loss_coef"]),
    ("kl_coef", &["kl_reward_coef"]),
    ("kl_penalty", &["kl_reward_type"]),
    ("kl_estimator", &["kl_reward_type"]),
    ("kl_ctl", &["kl_reward_coef"]),
    ("init_kl_coef", &["kl_reward_coef"]),
    ("epsilon", &["clip_low", "clip_high"]),
    ("clip_ratio", &["clip_low", "clip_high"]),
    ("clip_param", &["clip_low", "clip_high"]),
    ("cliprange", &["clip_low", "clip_high"]),
    ("eps_clip", &["clip_low", "clip_high"]),
    ("epsilon_low", &["clip_low"]),
    ("clip_ratio_low", &["clip_low"]),
    ("epsilon_high", &["clip_high"]),
    ("clip_ratio_high", &["clip_high"]),
    ("eps_clip_higher", &["clip_high"]),
    ("delta", &["dual_clip"]),
    ("clip_ratio_c", &["dual_clip"]),
    ("eps_clip_dual", &["dual_clip"]),
    ("loss_agg_mode", &["aggregation"]),
    ("entropy_coeff", &["entropy_coef"]),
    ("max_response_length", &["max_completion_length"]),
    ("max_new_tokens", &["max_completion_length"]),
    ("loss_scale_factor", &["max_completion_length"]),
    ("behav_imp_weight_cap", &["behaviour_cap"]),
    ("normalization_mode", &["action_logprob"]),
    ("reward_clip_range", &["reward_clip"]),
    ("vllm_importance_sampling_clip_max", &["sampler_weight_max"]),
    ("rollout_is_threshold", &["sampler_weight_max"]),
    ("vllm_importance_sampling_clip_min", &["sampler_weight_min"]),
    ("vllm_importance_sampling_mode", &["sampler_weight_mode"]),
    ("vf_coef", &["value_coef"]),
    ("value_loss_coef", &["value_coef"]),
    ("cliprange_value", &["value_clip"]),
    ("value_eps_clip", &["value_clip"]),
    ("max_num_gen_batches", &["max_sampling_rounds"]),
    ("overlong_buffer_len", &["overlong_buffer"]),
    ("overlong_penalty_factor", &["overlong_factor"]),
    ("mask_truncated_completions", &["mask_truncated"]),
    ("agent_iteration_interval", &["update_interval"]),
    ("warmup_steps", &["warm_up_steps"]),
    ("ppo_epochs", &["epochs"]),
    ("ppo_epoch", &["epochs"]),
    ("num_ppo_epochs", &["epochs"]),
    ("num_iterations", &["epochs"]),
    ("num_mini_batch", &["mini_batches"]),
    ("num_mini_batches", &["mini_batches"]),
    ("ppo_n_minibatches", &["mini_batches"]),
    ("steps_per_generation", &["mini_batches"]),
    ("lr", &["learning_rate"]),
    ("actor_lr", &["learning_rate"]),
    ("critic_lr", &["critic_learning_rate"]),
    ("adam_epsilon", &["adam_eps"]),
    ("opti_eps", &["adam_eps"]),
    ("grad_clip", &["max_grad_norm"]),
    ("clip_grad", &["max_grad_norm"]),
    ("step_advantage_w", &["step_weight"]),
    ("role_baseline_ema_gamma", &["rae_decay"]),
];

/// Names whose value needs translation; handled by [`translate`].
pub(super) const TRANSLATED: &[&str] = &[
    "adv_estimator",
    "advantage_estimator",
    "filter_groups",
    "importance_sampling_level",
    "loss_mode",
    "loss_type",
    "norm_adv_by_std_in_grpo",
    "normalize_advantages",
    "rollout_is",
    "scale_rewards",
    "use_kl_in_reward",
    "use_kl_loss",
    "whiten_advantages",
];

/// Our settings for a translated name, or why the value has no meaning.
pub(super) fn translate(key: &str, value: &Value) -> Result<Vec<(&'static str, Value)>, &'static str> {
    if let ("filter_groups", Some(table)) = (key, value.as_object()) {
        return filter_groups(table);
    }
    let settings = match (key, value.as_str(), value.as_bool()) {
        ("adv_estimator" | "advantage_estimator", Some(name), _) => {
            let ours = match name {
                "grpo" | "group_norm" => "grpo",
                "gae" => "gae",
                "rloo" => "rloo",
                "reinforce" => "monte-carlo",
                "reinforce_plus_plus" => "reinforce-pp",
                "reinforce_plus_plus_baseline" => "reinforce-pp-baseline",
                "gigpo" => "gigpo",
                _ => return Err("use gae, grpo, rloo, reinforce_plus_plus, reinforce_plus_plus_baseline or gigpo"),
            };
            vec![("estimator", json!(ours))]
        }
        ("loss_type", Some(name), _) => match name {
            "grpo" => vec![("aggregation", json!("seq-mean-token-mean"))],
            "dapo" | "bnpo" => vec![("aggregation", json!("token-mean"))],
            "dr_grpo" => vec![("aggregation", json!("seq-mean-token-sum-norm"))],
            "cispo" => vec![("loss", json!("cispo"))],
            _ => return Err("use grpo, dapo, bnpo, dr_grpo or cispo"),
        },
        ("loss_mode", Some(name), _) => match name {
            "vanilla" => vec![("loss", json!("ppo-clip"))],
            "gspo" | "cispo" => vec![("loss", json!(name))],
            _ => return Err("use vanilla, gspo or cispo"),
        },
        ("importance_sampling_level", Some(name), _) => match name {
            "token" => vec![("loss", json!("ppo-clip"))],
            "sequence" => vec![("loss", json!("gspo"))],
            _ => return Err("use token or sequence"),
        },
        ("scale_rewards", Some("group"), _) | ("scale_rewards" | "norm_adv_by_std_in_grpo", _, Some(true)) => {
            vec![("std", json!("unbiased")), ("scale_over", json!("group"))]
        }
        ("scale_rewards", Some("batch"), _) => vec![("std", json!("unbiased")), ("scale_over", json!("batch"))],
        ("scale_rewards", Some("none"), _) | ("scale_rewards" | "norm_adv_by_std_in_grpo", _, Some(false)) => {
            vec![("std", json!("none"))]
        }
        ("scale_rewards", ..) => return Err("use group, batch or none"),
        ("rollout_is", Some(name), _) => match name {
            "token" => vec![("sampler_weight_mode", json!("token_truncate"))],
            "sequence" => vec![("sampler_weight_mode", json!("sequence_truncate"))],
            _ => return Err("use token or sequence"),
        },
        ("normalize_advantages" | "whiten_advantages", _, Some(on)) => {
            let scope = if on { "batch" } else { "none" };
            vec![("normalise_mean", json!(scope)), ("normalise_scale", json!(scope))]
        }
        ("filter_groups", _, Some(on)) => vec![("dynamic_sampling", json!(on))],
        // Switched on, the coefficient speaks for itself.
        ("use_kl_loss", _, Some(on)) => {
            if on {
                vec![]
            } else {
                vec![("kl_loss_coef", json!(0.0))]
            }
        }
        ("use_kl_in_reward", _, Some(on)) => {
            if on {
                vec![]
            } else {
                vec![("kl_reward_coef", json!(0.0))]
            }
        }
        (_, None, _) if value.is_boolean() => return Err("it takes a name, not true or false"),
        _ => return Err("it takes true or false, or one of the names of its program"),
    };
    Ok(settings)
}

/// verl's table `{ enable, metric, max_num_gen_batches }`. Switched off, the others mean nothing.
fn filter_groups(table: &Map<String, Value>) -> Result<Vec<(&'static str, Value)>, &'static str> {
    const KEYS: [&str; 3] = ["enable", "metric", "max_num_gen_batches"];
    let of_total = |metric: &Value| matches!(metric.as_str(), Some("seq_reward" | "seq_final_reward"));
    if table.keys().any(|key| !KEYS.contains(&key.as_str())) {
        return Err("its keys are enable, metric and max_num_gen_batches");
    }
    let on = match table.get("enable") {
        None => false,
        Some(on) => on.as_bool().ok_or("its enable is true or false")?,
    };
    let mut settings = vec![("dynamic_sampling", json!(on))];
    if let (true, Some(metric)) = (on, table.get("metric").filter(|metric| !metric.is_null() && !of_total(metric))) {
        settings.push(("sampling_metric", metric.clone()));
    }
    if let (true, Some(rounds)) = (on, table.get("max_num_gen_batches")) {
        settings.push(("max_sampling_rounds", rounds.clone()));
    }
    Ok(settings)
}

/// Where a program uses one name for different things, by loss or estimator: the settings meant here.
pub(super) fn in_context(
    key: &str,
    value: &Value,
    loss: LossKind,
    kl_in_reward: bool,
) -> Option<Vec<(&'static str, Value)>> {
    match (key, loss) {
        // TRL's RLOO has its divergence in the reward.
        ("beta", _) if kl_in_reward => Some(vec![("kl_reward_coef", value.clone())]),
        // TRL bounds CISPO's weight by epsilon_high itself, verl by 1 + clip_ratio_high and 1 - clip_ratio_low.
        ("epsilon_high", LossKind::Cispo) => Some(vec![("ratio_max", value.clone())]),
        ("clip_ratio_high" | "clip_high", LossKind::Cispo) => Some(vec![("ratio_max", json!(1.0 + value.as_f64()?))]),
        ("clip_ratio_low" | "clip_low", LossKind::Cispo) => {
            Some(vec![("ratio_min", json!((1.0 - value.as_f64()?).max(0.0)))])
        }
        _ => None,
    }
}
