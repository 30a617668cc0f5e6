//! Other names of settings: those that users of TRL, verl, PEFT and Transformers know, and settings of the algorithm that
//! they are used to finding elsewhere.
//!
//! Names inside `[algorithm]` that mean several settings or need translation are the business of the presets.

use std::borrow::Cow;

use marft_topologies::check::{Code, Problem};
use marft_topologies::spec::read::Reader;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Another name and the one it stands for. `*` is any element or entry; both sides then share it.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("full_determinism", "deterministic"),
    ("model.name", "model.base"),
    ("model.model_name_or_path", "model.base"),
    ("model.path", "model.base"),
    ("model.torch_dtype", "model.dtype"),
    ("model.lora.r", "model.lora.rank"),
    ("model.lora.lora_r", "model.lora.rank"),
    ("model.lora.lora_rank", "model.lora.rank"),
    ("model.lora.lora_alpha", "model.lora.alpha"),
    ("model.lora.lora_dropout", "model.lora.dropout"),
    ("model.lora.use_rslora", "model.lora.rslora"),
    ("model.lora.target_modules", "model.lora.targets"),
    ("model.lora.lora_target_modules", "model.lora.targets"),
    ("task.file", "task.files"),
    ("task.train_files", "task.files"),
    ("train.max_steps", "train.steps"),
    ("train.total_training_steps", "train.steps"),
    ("train.adam_beta1", "train.beta1"),
    ("train.adam_beta2", "train.beta2"),
    ("train.lr_scheduler_type", "train.decay"),
    ("train.warmup_steps", "train.warmup"),
    ("train.lr_warmup_steps", "train.warmup"),
    ("train.ppo_max_token_len_per_gpu", "train.batch_tokens"),
    ("train.gradient_checkpointing", "train.checkpointing"),
    ("train.enable_gradient_checkpointing", "train.checkpointing"),
    ("train.lr", "algorithm.learning_rate"),
    ("train.learning_rate", "algorithm.learning_rate"),
    ("train.critic_lr", "algorithm.critic_learning_rate"),
    ("train.critic_learning_rate", "algorithm.critic_learning_rate"),
    ("train.weight_decay", "algorithm.weight_decay"),
    ("train.adam_eps", "algorithm.adam_eps"),
    ("train.adam_epsilon", "algorithm.adam_eps"),
    ("train.max_grad_norm", "algorithm.max_grad_norm"),
    ("train.grad_clip", "algorithm.max_grad_norm"),
    ("train.clip_grad", "algorithm.max_grad_norm"),
    ("algorithm.lr", "algorithm.learning_rate"),
    ("algorithm.critic_lr", "algorithm.critic_learning_rate"),
    ("algorithm.n", "algorithm.group_size"),
    ("algorithm.num_generations", "algorithm.group_size"),
    ("algorithm.agents.*.lr", "algorithm.agents.*.learning_rate"),
    ("algorithm.agents.*.critic_lr", "algorithm.agents.*.critic_learning_rate"),
    ("rollout.n", "algorithm.group_size"),
    ("rollout.group_size", "algorithm.group_size"),
    ("rollout.num_generations", "algorithm.group_size"),
    ("rollout.train_batch_size", "rollout.tasks"),
    ("rollout.max_num_seqs", "rollout.concurrency"),
    ("stages.*.lr", "stages.*.learning_rate"),
    ("stages.*.num_train_epochs", "stages.*.epochs"),
    ("stages.*.max_steps", "stages.*.steps"),
    ("eval.eval_steps", "eval.every"),
    ("eval.test_freq", "eval.every"),
    ("eval.val_before_train", "eval.before"),
    ("eval.n", "eval.samples"),
    ("checkpoint.save_steps", "checkpoint.every"),
    ("checkpoint.save_freq", "checkpoint.every"),
    ("checkpoint.save_total_limit", "checkpoint.keep"),
];

/// Gives every setting of a document its one name and place.
pub(super) fn canonical(document: &mut DeValue<'_>, reader: &mut Reader) {
    for (alias, name) in ALIASES {
        let (from, alias) = alias.rsplit_once('.').unwrap_or(("", alias));
        let (to, name) = name.rsplit_once('.').unwrap_or(("", name));
        if from == to {
            each(document, from, &mut |table| {
                if let Some((key, value)) = table.remove_entry(alias) {
                    put(table, name, key, value, reader);
                }
            });
            continue;
        }
        let mut found = None;
        each(document, from, &mut |table| found = table.remove_entry(alias));
        let Some((key, value)) = found else { continue };
        let DeValue::Table(root) = &mut *document else { continue };
        if root.get(to).is_none() {
            let place = value.span();
            let empty = Spanned::new(place.clone(), DeValue::Table(DeTable::new()));
            root.insert(Spanned::new(place, Cow::Borrowed(to)), empty);
        }
        if let Some(DeValue::Table(table)) = root.get_mut(to).map(Spanned::get_mut) {
            put(table, name, key, value, reader);
        }
    }
}

type Key<'l> = Spanned<Cow<'l, str>>;

fn put<'l>(
    table: &mut DeTable<'l>,
    name: &'static str,
    mut key: Key<'l>,
    value: Spanned<DeValue<'l>>,
    reader: &mut Reader,
) {
    if table.contains_key(name) {
        let message = format!("`{}` and `{name}` are two names of one setting", key.get_ref());
        reader.report(Problem::new(Code::BadCombination, message, reader.span(key.span())).help("keep one of them"));
        return;
    }
    *key.get_mut() = Cow::Borrowed(name);
    table.insert(key, value);
}

/// Calls `then` for every table at `path`.
fn each<'l>(value: &mut DeValue<'l>, path: &str, then: &mut dyn FnMut(&mut DeTable<'l>)) {
    if path.is_empty() {
        if let DeValue::Table(table) = value {
            then(table);
        }
        return;
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    match value {
        DeValue::Table(table) if first == "*" => {
            table.iter_mut().for_each(|(_, value)| each(value.get_mut(), rest, then));
        }
        DeValue::Array(items) if first == "*" => items.iter_mut().for_each(|value| each(value.get_mut(), rest, then)),
        DeValue::Table(table) => {
            if let Some(value) = table.get_mut(first) {
                each(value.get_mut(), rest, then);
            }
        }
        _ => {}
    }
}
