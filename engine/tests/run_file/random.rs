//! Whatever is written, the answer is settings or a report.

use std::path::Path;

use marft_engine::settings::file::parse;
use proptest::prelude::*;

use crate::folder::{Folder, GOOD};

const PATHS: &[&str] = &[
    "name",
    "seed",
    "deterministic",
    "team",
    "model",
    "model.base",
    "model.device",
    "model.lora",
    "model.lora.rank",
    "model.lora.targets",
    "model.weights",
    "model.frozen",
    "model.critic.hidden",
    "model.critic.lora.r",
    "task",
    "task.files",
    "task.sources",
    "task.sources.0.weight",
    "task.split",
    "task.split.column",
    "task.split.hash.by",
    "task.audit",
    "task.curriculum.by",
    "task.curriculum.bounds",
    "task.environment",
    "task.environment.kind",
    "task.environment.text",
    "task.environment.own.asker",
    "reward",
    "reward.0",
    "reward.0.kind",
    "reward.0.of",
    "reward.0.gate.term",
    "reward.0.attach",
    "reward.0.pattern",
    "algorithm",
    "algorithm.preset",
    "algorithm.lr",
    "algorithm.beta",
    "algorithm.estimator",
    "algorithm.agents",
    "algorithm.agents.asker.preset",
    "train",
    "train.lr",
    "train.steps",
    "train.budget",
    "train.budget.seconds",
    "train.early_stop.patience",
    "rollout.n",
    "rollout.tasks",
    "stages",
    "stages.0",
    "stages.0.kind",
    "eval.samples",
    "eval.cluster",
    "checkpoint.keep",
    "log.episodes",
    "nothing",
];

const VALUES: &[&str] = &[
    "0",
    "1",
    "-1",
    "3.5",
    "1e400",
    "nan",
    "18446744073709551616",
    "true",
    "word",
    "\"\"",
    "[]",
    "{}",
    "[1, \"a\"]",
    "[[[]]]",
    "{ a = { b = 1 } }",
    "team.toml",
    "catalog:debate",
    "asker",
    "keeper.answer",
    "question",
    "country",
    "tasks.jsonl",
    "exact",
    "format",
    "grpo",
    "rloo",
    "full",
    "shared",
    "1979-05-27",
    "\"\u{7}\"",
    "[{ kind = \"sft\" }]",
    "{ kind = \"exact\" }",
    "[",
    "\"\"\"x",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_changes_never_panic(
        changes in proptest::collection::vec((proptest::sample::select(PATHS), proptest::sample::select(VALUES)), 1..6)
    ) {
        let folder = Folder::new();
        let changes: Vec<_> = changes.into_iter().map(|(path, value)| (path.to_owned(), value.to_owned())).collect();
        let name = folder.path().join("run.toml").display().to_string();
        if let Err(report) = parse(GOOD, &name, &changes) {
            prop_assert!(!report.problems().is_empty());
            prop_assert!(!report.render(false, 80).is_empty());
        }
    }

    #[test]
    fn random_text_never_panics(cut in 0..GOOD.len(), take in 0_usize..40, put in "[a-z0-9.=\\[\\]{}\"\n é]{0,12}") {
        let (from, to) = (GOOD.floor_char_boundary(cut), GOOD.floor_char_boundary((cut + take).min(GOOD.len())));
        let text = format!("{}{put}{}", &GOOD[..from], &GOOD[to..]);
        if let Err(report) = parse(&text, &Path::new("nowhere").join("run.toml").display().to_string(), &[]) {
            prop_assert!(!report.render(false, 80).is_empty());
        }
    }

    #[test]
    fn random_paths_never_panic(path in "\\PC{0,20}", value in "\\PC{0,20}") {
        if let Err(report) = parse(GOOD, "nowhere/run.toml", &[(path, value)]) {
            prop_assert!(!report.render(false, 80).is_empty());
        }
    }
}
