//! Programs that agents write, run in a sandbox.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Tool, ToolFault, ToolFuture, ToolRequest, argument};
use crate::sandbox::{Interpreter, Limits};
use crate::settings::{Kind, KindError};

/// Runs `code` and gives what it writes.
#[derive(Debug, Clone)]
pub struct Program {
    interpreter: Interpreter,
}

/// As written in a run file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The interpreter, which reads the program from its standard input.
    #[serde(default = "Interpreter::python")]
    command: Vec<String>,
    #[serde(default)]
    limits: Limits,
}

impl Program {
    /// Reads the settings, and tries the sandbox out.
    ///
    /// # Errors
    /// Settings that make no sense, and a machine on which programs cannot be isolated.
    pub fn of(kind: &Kind) -> Result<Self, KindError> {
        let Settings { command, limits } = kind.read()?;
        Ok(Self { interpreter: Interpreter::new(command, limits)? })
    }

    fn run(&self, code: &str) -> Result<String, ToolFault> {
        let ran = self.interpreter.run(code);
        let ran = ran.map_err(|fault| ToolFault { message: fault.to_string(), transient: false })?;
        let late = if ran.late { "\nit was stopped: its time was over" } else { "" };
        Ok(format!("{}{late}", ran.output.trim_end()).trim_start_matches('\n').to_owned())
    }
}

impl Tool for Program {
    fn call(&self, request: ToolRequest) -> ToolFuture<'_> {
        let own = self.clone();
        Box::pin(async move {
            let work = move || argument(&request, "code").map_or_else(Ok, |code| own.run(code));
            let joined = tokio::task::spawn_blocking(work).await;
            joined.unwrap_or_else(|error| Err(ToolFault { message: super::died(&error), transient: false }))
        })
    }

    fn schema(&self) -> Option<Value> {
        Some(json!({
            "name": "program",
            "description": format!("Runs a program with `{}` and gives what it writes.", self.interpreter.name()),
            "parameters": {
                "type": "object",
                "properties": { "code": { "type": "string" } },
                "required": ["code"],
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_writes_is_its_result() {
        let settings = json!({"command": ["sh"], "limits": {"seconds": 1.0}});
        let kind = Kind { kind: "program".to_owned(), settings: settings.as_object().unwrap().clone() };
        let program = match Program::of(&kind) {
            Ok(program) => program,
            Err(reason) => return eprintln!("not tested here: {reason}"),
        };
        assert_eq!(program.run("echo $((6 * 7))").unwrap(), "42");
        assert!(program.run("nonsense").unwrap().contains("not found"));
        assert_eq!(program.run("sleep 60").unwrap(), "it was stopped: its time was over");
    }
}
