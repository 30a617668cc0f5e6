//! Chores of this repository as a program: `cargo xtask setup`, `test`, `demo`, `tidy`, `ci`, `audit`, `fuzz`.
//!
//! It depends on no libtorch, for it is what fetches libtorch.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod ci;
mod demo;
mod run;
mod setup;
mod tidy;
mod voice;

use setup::{Device, Machine};

/// Chores of the marft repository
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Fetch libtorch and the default model into the user's cache, and point this checkout at them
    Setup {
        /// Fetch the CUDA libraries too (2.7 GB more)
        #[arg(long)]
        cuda: bool,
    },
    /// Set up, build marft, and train a team of two agents on this machine's processor
    Demo,
    /// Set up, then run every test
    Test,
    /// Check the rules of the repository that the compiler does not
    Tidy,
    /// Everything a change must pass: what `.ci/run` calls
    Ci,
    /// Check licences, advisories and spelling (installs cargo-deny and typos when they are missing)
    Audit,
    /// Run the fuzz targets for a bounded time (installs cargo-fuzz when it is missing)
    Fuzz {
        /// Seconds per target
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
}

impl Task {
    fn run(self) -> Result<()> {
        let root = run::root()?;
        let prepare = |device| setup::setup(&Machine::here(&root)?, device);
        let readers = || Ok(setup::readers(&Machine::here(&root)?));
        match self {
            Self::Setup { cuda } => prepare(if cuda { Device::Cuda } else { Device::Cpu }),
            Self::Demo => {
                prepare(Device::AsBefore)?;
                demo::demo(&root)
            }
            Self::Test => {
                prepare(Device::AsBefore)?;
                run::test(&root, readers()?.as_deref())
            }
            Self::Tidy => tidy::tidy(&root),
            Self::Ci => ci::ci(&root, || prepare(Device::AsBefore).and_then(|()| readers())),
            Self::Audit => run::audit(&root),
            Self::Fuzz { seconds } => run::fuzz(&root, seconds),
        }
    }
}

fn main() -> ExitCode {
    match Cli::parse().task.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            voice::error(&error);
            ExitCode::FAILURE
        }
    }
}
