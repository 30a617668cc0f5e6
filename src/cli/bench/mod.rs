//! `marft bench`: the engine against the clock, and against bounds measured in the same run.

mod generate;
mod schedule;
mod step;
mod train;

use clap::builder::RangedU64ValueParser;
use clap::{Subcommand, ValueEnum};

use super::{Exit, Output};

/// Measure the engine's speed against bounds timed in the same run
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Generate(generate::Args),
    Schedule(schedule::Args),
    Step(step::Args),
    Train(train::Args),
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people.
    Text,
    /// One JSON object.
    Json,
}

/// Reads a number of things of which there must be some.
fn some() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        match self.what {
            What::Generate(args) => args.run(output),
            What::Schedule(args) => args.run(output),
            What::Step(args) => args.run(output),
            What::Train(args) => args.run(output),
        }
    }
}
