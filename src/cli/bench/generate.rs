//! `marft bench generate`: concurrent requests of several policies, in tokens a second and as a share of their linear layers.

use std::fmt::Write as _;

use marft::agents::generate::bench::{Bench, BenchOptions, BenchResult};
use marft::agents::model::Placement;
use miette::IntoDiagnostic as _;
use serde_json::{Value, json};

use super::Format;
use crate::cli::{Exit, Output};

/// Time batched generation: groups of samples over several policies with an adapter each
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Concurrent requests, one measurement each
    #[arg(long, value_delimiter = ',', default_value = "64,256", value_parser = super::some())]
    rows: Vec<usize>,
    /// Policies with an adapter, one measurement each; 0 is the base alone
    #[arg(long, value_delimiter = ',', default_value = "4")]
    adapters: Vec<usize>,
    /// A random model of this shape
    #[arg(long, default_value = "random:smollm2-135m")]
    model: String,
    /// Compute type
    #[arg(long, value_enum, default_value = "bf16")]
    dtype: Dtype,
    /// Use the matrix weights as they are, not laid out again for the processor's kernels
    #[arg(long)]
    plain: bool,
    /// Tokens in each prompt
    #[arg(long, default_value_t = 64, value_parser = super::some())]
    prompt: usize,
    /// Tokens sampled by each request
    #[arg(long, default_value_t = 64, value_parser = super::some())]
    new: usize,
    /// Samples of each prompt
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    group: u32,
    /// Repetitions, of which the median counts
    #[arg(long, default_value_t = 1, value_parser = super::some())]
    repeats: usize,
    /// How to write the results
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Dtype {
    Bf16,
    F32,
}

/// The size whose numbers stand at the top of the JSON.
const HEADLINE_ROWS: usize = 256;

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        let mut results = Vec::new();
        for &adapters in &self.adapters {
            let bench = Bench::new(self.options(adapters)).into_diagnostic()?;
            for &rows in &self.rows {
                results.push(bench.run(rows).into_diagnostic()?);
            }
        }
        let text = match self.format {
            Format::Text => table(&results),
            Format::Json => format!("{}\n", self.json(&results)?),
        };
        output.text(&text)?;
        Ok(Exit::Success)
    }

    fn options(&self, adapters: usize) -> BenchOptions {
        let placement = match self.dtype {
            Dtype::Bf16 => Placement { packed: !self.plain, ..Placement::FAST },
            Dtype::F32 => Placement::EXACT,
        };
        BenchOptions {
            model: self.model.clone(),
            placement,
            adapters,
            prompt_tokens: self.prompt,
            new_tokens: self.new,
            group: self.group as usize,
            repeats: self.repeats,
        }
    }

    /// The results; the keys of the headline case stand at the top as well.
    fn json(&self, results: &[BenchResult]) -> miette::Result<Value> {
        let headline = results.iter().find(|result| result.rows == HEADLINE_ROWS).or(results.last());
        let mut value = serde_json::to_value(headline).into_diagnostic()?;
        let context = json!({
            "model": self.model,
            "dtype": format!("{:?}", self.dtype).to_lowercase(),
            "packed": self.dtype == Dtype::Bf16 && !self.plain,
            "threads": marft::torch::runtime::threads(),
            "prompt_tokens": self.prompt,
            "new_tokens": self.new,
            "group": self.group,
            "sizes": results,
        });
        if let (Value::Object(value), Value::Object(context)) = (&mut value, context) {
            value.extend(context);
        }
        Ok(value)
    }
}

fn table(results: &[BenchResult]) -> String {
    let mut text = format!("{:>6} {:>9} {:>10} {:>10} {:>7}\n", "rows", "adapters", "tokens/s", "bound", "share");
    for r in results {
        writeln!(
            text,
            "{:>6} {:>9} {:>10.0} {:>10.0} {:>6.0}%",
            r.rows,
            r.adapters,
            r.tokens_per_s,
            r.bound_tokens_per_s,
            r.bound_ratio * 100.0
        )
        .expect("a string takes every write");
    }
    text
}
