//! The `marft` command.

use std::process::ExitCode;

mod cli;

/// Episodes are made of many small, short-lived pieces: the world turns two to three times as fast with this allocator as
/// with that of glibc (`marft bench schedule`). libtorch keeps its own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
