//! `marft bench train`: one training step of several policies, in tokens a second and as a share of its linear layers.

use std::fmt::Write as _;

use marft::agents::model::Placement;
use marft::agents::train::bench::{TrainBenchOptions, TrainBenchResult, run};
use miette::IntoDiagnostic as _;
use serde_json::{Value, json};

use super::Format;
use crate::cli::{Exit, Output};

/// Time a training step: forward, clipped loss, backward and optimiser, adapters of rank 16 on every linear layer
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Policies with an adapter and an optimiser each, one measurement each
    #[arg(long, value_delimiter = ',', default_value = "1", value_parser = super::some())]
    policies: Vec<usize>,
    /// Sequences of one step
    #[arg(long, default_value_t = 64, value_parser = super::some())]
    sequences: usize,
    /// Sequences that answer the same prompt
    #[arg(long, default_value_t = 1, value_parser = super::some())]
    group: usize,
    /// Tokens before the trained ones
    #[arg(long, default_value_t = 64, value_parser = super::some())]
    prompt: usize,
    /// Trained tokens of each sequence, one measurement each
    #[arg(long, value_delimiter = ',', default_value = "64", value_parser = super::some())]
    new: Vec<usize>,
    /// Tokens of one pass
    #[arg(long, default_value_t = 1024, value_parser = super::some())]
    batch: usize,
    /// Recompute blocks on the way back instead of keeping their activations
    #[arg(long)]
    checkpointing: bool,
    /// A random model of this shape
    #[arg(long, default_value = "random:smollm2-135m")]
    model: String,
    /// Compute in f32 instead of bf16
    #[arg(long)]
    f32: bool,
    /// Repetitions, of which the median counts
    #[arg(long, default_value_t = 1, value_parser = super::some())]
    repeats: usize,
    /// How to write the results
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        let mut results = Vec::new();
        for &new in &self.new {
            for &policies in &self.policies {
                results.push(run(&self.options(policies, new)).into_diagnostic()?);
            }
        }
        let text = match self.format {
            Format::Text => table(&results),
            Format::Json => format!("{}\n", self.json(&results)?),
        };
        output.text(&text)?;
        Ok(Exit::Success)
    }

    fn options(&self, policies: usize, new: usize) -> TrainBenchOptions {
        let placement = if self.f32 { Placement::EXACT } else { Placement { packed: false, ..Placement::FAST } };
        TrainBenchOptions {
            model: self.model.clone(),
            placement,
            policies,
            sequences: self.sequences,
            group: self.group,
            prompt_tokens: self.prompt,
            new_tokens: new,
            batch_tokens: self.batch,
            checkpointing: self.checkpointing,
            repeats: self.repeats,
        }
    }

    /// The results; the keys of the first case stand at the top as well.
    fn json(&self, results: &[TrainBenchResult]) -> miette::Result<Value> {
        let mut value = serde_json::to_value(results.first()).into_diagnostic()?;
        let context = json!({
            "model": self.model,
            "dtype": if self.f32 { "f32" } else { "bf16" },
            "threads": marft::torch::runtime::threads(),
            "sequences": self.sequences,
            "group": self.group,
            "prompt_tokens": self.prompt,
            "batch_tokens": self.batch,
            "checkpointing": self.checkpointing,
            "cases": results,
        });
        if let (Value::Object(value), Value::Object(context)) = (&mut value, context) {
            value.extend(context);
        }
        Ok(value)
    }
}

fn table(results: &[TrainBenchResult]) -> String {
    let mut text = format!(
        "{:>8} {:>8} {:>10} {:>10} {:>7} {:>9}\n",
        "policies", "tokens", "tokens/s", "bound", "share", "peak MiB"
    );
    for r in results {
        let peak = r.peak_mib.map_or_else(|| "?".to_owned(), |peak| format!("{peak:.0}"));
        let (policies, tokens, share) = (r.policies, r.sequence_tokens, r.bound_ratio * 100.0);
        let (speed, bound) = (r.tokens_per_s, r.bound_tokens_per_s);
        writeln!(text, "{policies:>8} {tokens:>8} {speed:>10.0} {bound:>10.0} {share:>6.0}% {peak:>9}")
            .expect("a string takes every write");
    }
    text
}
