//! The form that an agent's answers are held to while they are sampled.

use std::sync::Arc;

use serde_json::Value;

/// The form of every answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Constraint {
    /// JSON that satisfies this schema.
    JsonSchema(Arc<Value>),
    /// Text that this expression matches as a whole, in the syntax of the regex crate without look-around.
    Regex(String),
}
