//! How the tests run the program.

use std::fmt;
use std::process::{Command, Output};

/// The `marft` under test with `args`, away from the settings of whoever runs the tests.
pub(crate) fn marft<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_marft"));
    command.args(args).env_remove("MARFT_LOG").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

/// All that a run gave, in a form that reads well as a snapshot.
#[derive(Debug)]
pub(crate) struct Run(Output);

impl Run {
    pub(crate) fn of(command: &mut Command) -> Self {
        Self(command.output().expect("the binary was built with the test"))
    }

    /// A run that was started by other means and is over.
    pub(crate) fn ended(output: Output) -> Self {
        Self(output)
    }

    /// The exit code; `None` when a signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    pub(crate) fn stdout(&self) -> &str {
        std::str::from_utf8(&self.0.stdout).expect("marft writes UTF-8")
    }

    pub(crate) fn stderr(&self) -> &str {
        std::str::from_utf8(&self.0.stderr).expect("marft writes UTF-8")
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code() {
            Some(code) => writeln!(f, "exit code: {code}")?,
            None => writeln!(f, "ended by a signal")?,
        }
        write!(f, "----- stdout -----\n{}----- stderr -----\n{}", self.stdout(), self.stderr())
    }
}
