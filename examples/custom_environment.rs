//! An environment of your own: several steps an episode, each with its own observation and reward. A tiny random model
//! learns, in seconds, to turn a dial by the length of what it writes.
//!
//! ```text
//! cargo run --example custom_environment
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use marft::engine::environment::{Environment, EnvironmentFault, Outcome, Scene, Standing};
use marft::engine::seed::Seed;
use marft::engine::settings::file::parse_with;
use marft::engine::settings::{Kind, Registry};
use marft::engine::task::Task;
use marft::engine::trainer::{Event, Run, Stop, Trainer};
use marft::topologies::turns::{Message, Task as Shown};
use serde::Deserialize;

/// A dial that every written character turns by one. What counts is how close it comes to its goal.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dial {
    goal: f64,
    steps: u32,
    #[serde(skip)]
    position: f64,
    #[serde(skip)]
    taken: u32,
}

impl Dial {
    fn scene(&self) -> Scene {
        let shared = Shown::text(format!("The dial stands at {}. It should stand at {}.", self.position, self.goal));
        Scene { shared, own: vec![] }
    }
}

impl Environment for Dial {
    fn reset(&mut self, task: &Task, _seed: Seed) -> Result<Scene, EnvironmentFault> {
        let missing = || EnvironmentFault(format!("task `{}` has no number `start`", task.id));
        (self.position, self.taken) = (task.number("start").ok_or_else(missing)?, 0);
        Ok(self.scene())
    }

    fn step(&mut self, output: Option<&Message>) -> Result<Outcome, EnvironmentFault> {
        let before = (self.goal - self.position).abs();
        self.position += output.map_or(0, |message| message.text.chars().count()) as f64;
        self.taken += 1;
        let after = (self.goal - self.position).abs();
        let standing = if after == 0.0 {
            Standing::Done { won: Some(true) }
        } else if self.taken < self.steps {
            Standing::Open(self.scene())
        } else {
            // the limit of steps cut it off: it might have gone on
            Standing::Truncated
        };
        Ok(Outcome { standing, rewards: vec![("closer".to_owned(), (before - after) / self.goal)] })
    }
}

const RUN: &str = r#"
name = "dial"
seed = 2

[model]
base = "random:llama"
dtype = "f32"
cache_mib = 16

[model.lora]
rank = 4

[model.critic]
hidden = [16]

[task]
files = ["tasks.jsonl"]

[task.environment]
kind = "dial"
goal = 40.0
steps = 3

[algorithm]
preset = "marft-t"
learning_rate = 1e-2
critic_learning_rate = 1e-2

[train]
steps = 8

[rollout]
tasks = 12
"#;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::default().with_environment("dial", Kind::read::<Dial>);
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tiny/run.toml");
    let loaded = parse_with(RUN, beside, &[], &registry).map_err(|report| report.render(false, 100))?;

    let folder = tempfile::tempdir()?;
    let mut run = Run::open(Trainer::new(loaded, registry)?, folder.path(), false)?;
    let mut steps = 0;
    let mut listen = |event: &Event<'_>| {
        if let Event::Step { step, report, measures, .. } = event {
            let turns = report.records.iter().map(|record| record.turns.len()).max().unwrap_or(0);
            println!(
                "step {step}: reward {:.3}, up to {turns} turns",
                measures.get("reward/total").unwrap_or_default()
            );
            steps += usize::from(turns > 1);
        }
    };
    run.drive(&mut listen, &Stop::default())?;
    if steps == 0 {
        return Err("no episode went beyond its first step".into());
    }
    Ok(())
}
