//! A reward of your own: trains a tiny random model to write the letter `e`, in seconds and without downloads.
//!
//! ```text
//! cargo run --example custom_reward
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use marft::engine::reward::{Evidence, RewardFault, RewardTerm};
use marft::engine::settings::file::parse_with;
use marft::engine::settings::{Kind, Registry};
use marft::engine::trainer::{Event, Run, Stop, Trainer};
use serde::Deserialize;

/// Pays the share of a letter among the characters of an answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LetterShare {
    letter: char,
}

impl RewardTerm for LetterShare {
    fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
        let text = evidence.answer.unwrap_or_default();
        let hits = text.chars().filter(|letter| *letter == self.letter).count();
        Ok(hits as f64 / text.chars().count().max(1) as f64)
    }
}

const RUN: &str = r#"
name = "letters"
seed = 3

[model]
base = "random:llama"
dtype = "f32"
cache_mib = 16

[model.lora]
rank = 4

[task]
files = ["tasks.jsonl"]

[task.environment]
kind = "question"
text = "question"

[[reward]]
name = "letters"
kind = "letter_share"
letter = "e"

[algorithm]
preset = "grpo"
num_generations = 8
learning_rate = 2e-2

[train]
steps = 12

[rollout]
tasks = 4
"#;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::default().with_reward("letter_share", Kind::read::<LetterShare>);
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tiny/run.toml");
    let loaded = parse_with(RUN, beside, &[], &registry).map_err(|report| report.render(false, 100))?;

    let folder = tempfile::tempdir()?;
    let mut run = Run::open(Trainer::new(loaded, registry)?, folder.path(), false)?;
    let mut rewards = vec![];
    let mut listen = |event: &Event<'_>| {
        if let Event::Step { step, measures, .. } = event {
            let reward = measures.get("reward/letters").unwrap_or_default();
            println!("step {step}: {:.1} % of the letters are e", reward * 100.0);
            rewards.push(reward);
        }
    };
    run.drive(&mut listen, &Stop::default())?;

    let (first, last) = (rewards[0], rewards[rewards.len() - 1]);
    if last <= first {
        return Err(format!("nothing was learnt: {first} before, {last} after").into());
    }
    Ok(())
}
