//! Evaluation: JSON in, JSON out.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::objects::{Key, Map};
use cel::{Context, Env, ExecutionError, Program, Value};
use thiserror::Error;

use crate::spec::PortType;

/// The names an expression may use, with their values.
pub type Scope = serde_json::Map<String, serde_json::Value>;

/// Why an expression has no value.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum EvalError {
    /// CEL refused: an absent field, a type without that operator, a division by zero.
    #[error("evaluate: {0}")]
    Failed(String),
    /// A condition that is neither true nor false.
    #[error("`{expression}` gave {}, not true or false", found.word())]
    NotBoolean {
        /// The condition.
        expression: String,
        /// What it gave.
        found: PortType,
    },
    /// A value that has no JSON form, such as a function.
    #[error("the value has no JSON form")]
    NotJson,
}

static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

pub(super) fn eval(program: &Program, scope: &Scope) -> Result<serde_json::Value, EvalError> {
    let mut context = Context::with_env(Arc::clone(&STANDARD));
    for (name, value) in scope {
        context.add_variable_from_value(name.clone(), to_cel(value));
    }
    let value = program.execute(&context).map_err(|error: ExecutionError| EvalError::Failed(error.to_string()))?;
    from_cel(&value)
}

fn to_cel(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(flag) => Value::Bool(*flag),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::String(Arc::new(text.clone())),
        serde_json::Value::Array(items) => Value::List(Arc::new(items.iter().map(to_cel).collect())),
        serde_json::Value::Object(members) => {
            let pairs = members.iter().map(|(name, value)| (Key::from(name.clone()), to_cel(value)));
            Value::Map(Map { map: Arc::new(pairs.collect::<HashMap<_, _>>()) })
        }
    }
}

fn from_cel(value: &Value) -> Result<serde_json::Value, EvalError> {
    Ok(match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Int(number) => (*number).into(),
        Value::UInt(number) => (*number).into(),
        Value::Float(number) => {
            serde_json::Number::from_f64(*number).map(serde_json::Value::Number).ok_or(EvalError::NotJson)?
        }
        Value::String(text) => text.as_str().into(),
        Value::List(items) => serde_json::Value::Array(items.iter().map(from_cel).collect::<Result<_, _>>()?),
        Value::Map(map) => {
            let mut members = map
                .map
                .iter()
                .map(|(key, value)| Ok((key.to_string(), from_cel(value)?)))
                .collect::<Result<Vec<_>, EvalError>>()?;
            // CEL keeps records in a hash map; sorted names make equal records print equally.
            members.sort_by(|(left, _), (right, _)| left.cmp(right));
            serde_json::Value::Object(members.into_iter().collect())
        }
        _ => return Err(EvalError::NotJson),
    })
}
