//! An interpreter in a sandbox, as the keys `command` and `limits` of a run file describe it.

use super::{Limits, Ran, Sandbox, SandboxFault};
use crate::settings::KindError;

/// Runs programs that it reads from its standard input.
#[derive(Debug, Clone)]
pub(crate) struct Interpreter {
    command: Vec<String>,
    sandbox: Sandbox,
}

impl Interpreter {
    /// The command where none is named.
    pub(crate) fn python() -> Vec<String> {
        ["python3", "-I", "-"].map(str::to_owned).to_vec()
    }

    /// An interpreter, its sandbox tried out.
    ///
    /// # Errors
    /// A command that names no program, limits that are none, and a machine on which programs cannot be isolated.
    pub(crate) fn new(command: Vec<String>, limits: Limits) -> Result<Self, KindError> {
        if command.is_empty() {
            return Err(KindError { key: Some("command".to_owned()), ..KindError::new("it names no program") });
        }
        let sandbox = Sandbox::new(limits).map_err(|error| KindError::new(error.to_string()))?;
        Ok(Self { command, sandbox })
    }

    /// The command in one line.
    pub(crate) fn name(&self) -> String {
        self.command.join(" ")
    }

    /// Runs a program to its end. Blocks.
    ///
    /// # Errors
    /// As [`Sandbox::run`].
    pub(crate) fn run(&self, program: &str) -> Result<Ran, SandboxFault> {
        let command: Vec<&str> = self.command.iter().map(String::as_str).collect();
        self.sandbox.run(&command, program)
    }
}
