//! What `marft` says about its work, on stderr: how much, and in what form.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::EnvFilter;

/// `-v`, `-q`, and `MARFT_LOG` for those who want it by module.
#[derive(Debug, clap::Args)]
pub(super) struct Verbosity {
    /// Say more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
    /// Say only what went wrong
    #[arg(short, long, global = true)]
    quiet: bool,
}

impl Verbosity {
    /// Starts the log. `MARFT_LOG=marft_engine=trace` overrides the flags.
    pub(super) fn install(&self) {
        let default = match (self.quiet, self.verbose) {
            (true, _) => "error",
            (false, 0) => "info",
            (false, 1) => "debug",
            (false, _) => "trace",
        };
        let filter = EnvFilter::try_from_env("MARFT_LOG").unwrap_or_else(|_| EnvFilter::new(default));
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(colour)
            .with_target(self.verbose > 0)
            .without_time()
            .init();
    }
}
