//! The command line: what the user may type, and how `marft` answers.
//!
//! One voice for all commands. Data goes to stdout, everything said about it to stderr, so that stdout can be piped. An
//! error is one report with its causes and, where something can be done, a `hint:`. Exit codes are few and documented in
//! `--help`.
//!
//! A command is one file here: a `clap::Args` struct with a `run` method. Adding one takes its `mod` line, its variant in
//! [`Command`] and its arm in [`Command::run`].

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod catalog;
mod check;
mod env;
mod eval;
mod export;
mod graph;
mod log;
mod model;
mod output;
mod play;
mod progress;
mod replay;
mod report;
mod score;
mod signals;
mod story;
mod team_file;
mod train;

use output::Output;

const EXIT_CODES: &str = "\
Exit codes:
  0  the command did what it was asked
  1  it failed, or it found problems in what it was asked to check
  2  the command line was wrong
  130  it was interrupted, and saved what it had";

/// Train teams of LLM agents by reinforcement learning
#[derive(Debug, Parser)]
#[command(name = "marft", version, about, after_help = EXIT_CODES, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    verbosity: log::Verbosity,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Args),
    Catalog(catalog::Args),
    Check(check::Args),
    Env(env::Args),
    Eval(eval::Args),
    Export(export::Args),
    Graph(graph::Args),
    Model(model::Args),
    Play(play::Args),
    Replay(replay::Args),
    Report(story::Args),
    Score(score::Args),
    Train(train::Args),
}

impl Command {
    fn run(self, output: &mut Output) -> miette::Result<Exit> {
        match self {
            Self::Bench(args) => args.run(output),
            Self::Catalog(args) => args.run(output),
            Self::Check(args) => args.run(output),
            Self::Env(args) => args.run(output),
            Self::Eval(args) => args.run(output),
            Self::Export(args) => args.run(output),
            Self::Graph(args) => args.run(output),
            Self::Model(args) => args.run(output),
            Self::Play(args) => args.run(output),
            Self::Replay(args) => args.run(output),
            Self::Report(args) => args.run(output),
            Self::Score(args) => args.run(output),
            Self::Train(args) => args.run(output),
        }
    }
}

/// How a command that ran to its end came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// It did what it was asked.
    Success,
    /// It did, and what it looked at has problems, which it has already told.
    Problems,
    /// It was asked to stop by a signal of this number, and did.
    Interrupted(u8),
}

/// Reads the command line, runs the command and turns the way it came out into an exit code.
pub(crate) fn main() -> ExitCode {
    report::install();
    let cli = Cli::parse();
    cli.verbosity.install();
    let mut output = Output::stdout();
    let result = cli.command.run(&mut output).and_then(|exit| {
        output.finish()?;
        Ok(exit)
    });
    match result {
        Ok(Exit::Success) => ExitCode::SUCCESS,
        Ok(Exit::Problems) => ExitCode::from(1),
        // as a shell says it of a program that the signal killed
        Ok(Exit::Interrupted(signal)) => ExitCode::from(128 + signal),
        // `marft … | head` has read all it wanted.
        Err(_) if output.reader_left() => ExitCode::SUCCESS,
        Err(report) => {
            // Nobody is left to be told when stderr fails too.
            let _ = writeln!(std::io::stderr(), "{report:?}");
            ExitCode::from(1)
        }
    }
}
