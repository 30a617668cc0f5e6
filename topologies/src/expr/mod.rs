//! Guards, predicates and transforms: CEL, compiled once, pure, and bounded before it is parsed.
//!
//! CEL has no loops but its macros (`all`, `exists`, `map`, `filter`); these may not be nested, so a run is linear in the
//! expression times its longest list. Regexes in it are linear-time too.

mod context;
mod infer;
mod limits;

use std::fmt;
use std::sync::Arc;

use cel::{ParseErrors, Program};

pub use context::{EvalError, Scope};
pub(crate) use infer::{Names, infer};

use crate::spec::PortType;

/// A compiled expression.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    program: Arc<Program>,
}

impl Expression {
    /// Compiles an expression; the error is one line.
    pub fn compile(source: &str) -> Result<Self, String> {
        limits::check(source)?;
        let program = Program::compile(source).map_err(|errors| describe(&errors))?;
        limits::check_macros(program.expression())?;
        Ok(Self { source: source.into(), program: Arc::new(program) })
    }

    /// As typed.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its value in a scope.
    pub fn eval(&self, scope: &Scope) -> Result<serde_json::Value, EvalError> {
        context::eval(&self.program, scope)
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Expression({:?})", self.source)
    }
}

/// A compiled condition: an expression whose value is true or false.
#[derive(Debug, Clone)]
pub struct Guard(Expression);

impl Guard {
    /// Compiles a condition.
    pub fn compile(source: &str) -> Result<Self, String> {
        Expression::compile(source).map(Self)
    }

    /// As typed.
    pub fn source(&self) -> &str {
        self.0.source()
    }

    /// Whether it holds in a scope.
    pub fn holds(&self, scope: &Scope) -> Result<bool, EvalError> {
        match self.0.eval(scope)? {
            serde_json::Value::Bool(holds) => Ok(holds),
            other => Err(EvalError::NotBoolean { expression: self.source().to_owned(), found: kind(&other) }),
        }
    }

    /// The expression.
    pub fn expression(&self) -> &Expression {
        &self.0
    }
}

fn kind(value: &serde_json::Value) -> PortType {
    match value {
        serde_json::Value::Null => PortType::Any,
        serde_json::Value::Bool(_) => PortType::Boolean,
        serde_json::Value::Number(_) => PortType::Number,
        serde_json::Value::String(_) => PortType::Text,
        serde_json::Value::Array(_) => PortType::List,
        serde_json::Value::Object(_) => PortType::Object,
    }
}

/// The first thing the parser disliked, without its list of all that it would have liked.
fn describe(errors: &ParseErrors) -> String {
    let Some(first) = errors.errors.first() else { return "does not parse".to_owned() };
    let message = first.msg.trim_start_matches("Syntax error: ");
    let message = message.split(" expecting ").next().unwrap_or(message).lines().next().unwrap_or(message);
    match first.pos {
        (1, column) if column >= 0 => format!("{message} at character {}", column + 1),
        _ => message.to_owned(),
    }
}
