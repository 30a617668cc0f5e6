//! The form that an answer must have: plain data, whether or not this build can hold an answer to it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The form that an answer must have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// JSON that satisfies this schema.
    JsonSchema(Value),
    /// Text that this expression matches as a whole, in the syntax of the regex crate without look-around.
    Regex(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_plain_data() {
        let form: Form = serde_json::from_str(r#"{"regex": "[0-9]+"}"#).unwrap();
        assert_eq!(form, Form::Regex("[0-9]+".to_owned()));
    }
}
