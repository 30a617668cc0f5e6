//! `marft bench step`: what the engine costs around generation and training.

use std::fmt::Write as _;

use marft::engine::trainer::bench::{BenchOptions, Measured, run};
use serde_json::json;

use super::Format;
use crate::cli::train::tell;
use crate::cli::{Exit, Output};

/// Time whole steps of a duo, and the same sequences straight through the device
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A random model of this shape
    #[arg(long, default_value = "random:smollm2-135m")]
    model: String,
    /// Tasks a step
    #[arg(long, default_value_t = 8, value_parser = super::some())]
    tasks: usize,
    /// Episodes of each task
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..))]
    group: u32,
    /// Most tokens of a turn
    #[arg(long, default_value_t = 32, value_parser = super::some())]
    new: usize,
    /// Most tokens of one training pass
    #[arg(long, default_value_t = 4096, value_parser = super::some())]
    batch_tokens: usize,
    /// Steps that are timed, of which the median counts
    #[arg(long, default_value_t = 3, value_parser = super::some())]
    repeats: usize,
    /// How to write the results
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        let options = BenchOptions {
            model: self.model.clone(),
            tasks: self.tasks,
            group: self.group as usize,
            new_tokens: self.new,
            batch_tokens: self.batch_tokens,
            repeats: self.repeats,
        };
        let mut steps = run(&options).map_err(tell)?;
        steps.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
        let median = steps[steps.len() / 2];
        let text = match self.format {
            Format::Text => table(&steps, &median),
            Format::Json => {
                let (model, threads) = (&self.model, marft::torch::runtime::threads());
                let ratio = median.ratio;
                format!(
                    "{}\n",
                    json!({ "ratio": ratio, "model": model, "threads": threads, "median": median, "steps": steps })
                )
            }
        };
        output.text(&text)?;
        Ok(Exit::Success)
    }
}

fn table(steps: &[Measured], median: &Measured) -> String {
    let mut text = format!(
        "{:>8} {:>8} {:>8} {:>10} {:>11} {:>11} {:>8} {:>6}\n",
        "episodes", "sampled", "learnt", "rollout s", "generate s", "learning s", "train s", "ratio"
    );
    for r in steps {
        writeln!(
            text,
            "{:>8} {:>8} {:>8} {:>10.3} {:>11.3} {:>11.3} {:>8.3} {:>6.3}",
            r.episodes, r.sampled, r.learnt, r.rollout_s, r.generate_s, r.learning_s, r.train_s, r.ratio
        )
        .expect("a string takes every write");
    }
    writeln!(text, "a step takes {:.3} times its generation and training alone", median.ratio)
        .expect("a string takes every write");
    text
}
