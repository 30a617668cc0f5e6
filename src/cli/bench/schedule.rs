//! `marft bench schedule`: what the world costs per turn, whatever the number of episodes and agents.

use std::fmt::Write as _;

use clap::value_parser;
use marft::engine::world::bench::{Measured, Size, bytes_per_episode, time};
use miette::IntoDiagnostic as _;
use serde_json::json;

use super::Format;
use crate::cli::{Exit, Output};

/// Time turns through the world with scripted voices: a chain of agents, many episodes at once
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Episodes open at a time, one measurement each, with two agents
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000,100000", value_parser = super::some())]
    episodes: Vec<usize>,
    /// Agents in the chain, one measurement each, with 10,000 turns under way at a time
    #[arg(long, value_delimiter = ',', default_value = "2,8,64", value_parser = super::some())]
    agents: Vec<usize>,
    /// Least turns of one measurement
    #[arg(long, default_value_t = 200_000, value_parser = value_parser!(u64).range(1..))]
    turns: u64,
    /// Repetitions, interleaved, of which the median counts
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..))]
    repeats: u32,
    /// How to write the results
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// The size whose numbers stand at the top of the JSON: a duo in 10,000 episodes.
const HEADLINE: Size = Size { agents: 2, episodes: 10_000 };

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        let sizes = self.sizes();
        // first, while the heap is still small: memory is what the process grows by
        let bytes = bytes_per_episode(HEADLINE).into_diagnostic()?;
        let mut runs: Vec<Vec<Measured>> = vec![vec![]; sizes.len()];
        for _ in 0..self.repeats {
            for (size, runs) in sizes.iter().zip(&mut runs) {
                runs.push(time(*size, self.turns).into_diagnostic()?);
            }
        }
        let results: Vec<Measured> = runs.into_iter().map(median).collect();
        let text = match self.format {
            Format::Text => table(&results, bytes),
            Format::Json => {
                let headline = results[0];
                format!(
                    "{}\n",
                    json!({
                        "turns_per_s": headline.turns_per_s,
                        "turn_ns": headline.turn_ns,
                        "agents": headline.agents,
                        "episodes": headline.episodes,
                        "bytes_per_episode": bytes,
                        "repeats": self.repeats,
                        "sizes": results,
                    })
                )
            }
        };
        output.text(&text)?;
        Ok(Exit::Success)
    }

    /// The headline, then every other size once.
    fn sizes(&self) -> Vec<Size> {
        let by_episodes = self.episodes.iter().map(|episodes| Size { agents: HEADLINE.agents, episodes: *episodes });
        let under_way = HEADLINE.agents * HEADLINE.episodes;
        let by_agents =
            self.agents.iter().map(|agents| Size { agents: *agents, episodes: (under_way / agents).max(1) });
        let mut sizes = vec![HEADLINE];
        for size in by_episodes.chain(by_agents) {
            if !sizes.contains(&size) {
                sizes.push(size);
            }
        }
        sizes
    }
}

fn median(mut runs: Vec<Measured>) -> Measured {
    runs.sort_by(|a, b| a.turn_ns.total_cmp(&b.turn_ns));
    runs[runs.len() / 2]
}

fn table(results: &[Measured], bytes: Option<f64>) -> String {
    let mut text = format!("{:>7} {:>9} {:>10} {:>9}\n", "agents", "episodes", "turns/s", "ns/turn");
    for r in results {
        writeln!(text, "{:>7} {:>9} {:>10.0} {:>9.0}", r.agents, r.episodes, r.turns_per_s, r.turn_ns)
            .expect("a string takes every write");
    }
    if let Some(bytes) = bytes {
        writeln!(text, "an open episode of two agents takes {bytes:.0} bytes").expect("a string takes every write");
    }
    text
}
