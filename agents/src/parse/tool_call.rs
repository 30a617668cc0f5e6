//! Tool calls in the Hermes format: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`.
//!
//! Qwen and many others write their calls so. What a policy writes is a sample: it may be anything, so everything that is
//! not a call has a type of its own, which rewards and error messages to the policy can be made from.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::markup::Markup;
use super::scanner::{Item, scan_pairs};

/// A call that can be carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Name of the tool, not empty.
    pub name: String,
    /// Its arguments in the order in which they were written.
    pub arguments: Map<String, Value>,
}

/// What stands behind a `<tool_call>`.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolCallParse {
    /// A call.
    Complete(ToolCall),
    /// The turn ended before `</tool_call>`.
    Partial {
        /// What was written of the call.
        body: String,
        /// The call, where only the closing marker is missing.
        call: Option<ToolCall>,
    },
    /// Something else than a call.
    Invalid {
        /// What is wrong with it.
        reason: ToolCallError,
        /// The text between the markers.
        body: String,
    },
}

/// Why the text between the markers is no call. The messages are written for the policy that is to do better.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ToolCallError {
    /// It is not JSON.
    #[error("the tool call is not valid JSON: {0}")]
    Json(String),
    /// It is JSON of another type.
    #[error("the tool call must be a JSON object with `name` and `arguments`")]
    NotAnObject,
    /// There is no name, or it is no text, or it is empty.
    #[error("the tool call needs a `name`, a string that is not empty")]
    Name,
    /// There are no arguments, or they are neither an object nor text that holds one.
    #[error("the tool call needs `arguments`, a JSON object; write {{}} for none")]
    Arguments,
    /// The arguments are text that is not JSON.
    #[error("the arguments of the tool call are a string that is not valid JSON: {0}")]
    ArgumentsJson(String),
}

impl ToolCall {
    /// Reads the text between the markers. Arguments may also be a string that holds a JSON object. Other keys are ignored.
    pub fn from_body(body: &str) -> Result<Self, ToolCallError> {
        let value: Value = serde_json::from_str(body).map_err(|error| ToolCallError::Json(error.to_string()))?;
        let Value::Object(mut fields) = value else { return Err(ToolCallError::NotAnObject) };
        let name = match fields.remove("name") {
            Some(Value::String(name)) if !name.is_empty() => name,
            _ => return Err(ToolCallError::Name),
        };
        let arguments = match fields.remove("arguments") {
            Some(Value::String(text)) => {
                serde_json::from_str(&text).map_err(|error| ToolCallError::ArgumentsJson(error.to_string()))?
            }
            other => other.unwrap_or_default(),
        };
        match arguments {
            Value::Object(arguments) => Ok(Self { name, arguments }),
            _ => Err(ToolCallError::Arguments),
        }
    }
}

impl ToolCallParse {
    /// Judges the text between the markers.
    pub(super) fn closed(body: &str) -> Self {
        match ToolCall::from_body(body) {
            Ok(call) => Self::Complete(call),
            Err(reason) => Self::Invalid { reason, body: body.to_owned() },
        }
    }

    /// Judges what stands behind a `<tool_call>` that was not closed. The first `length` bytes are the call, what follows
    /// them is the beginning of its closing marker.
    pub(super) fn unclosed(body: &str, length: usize) -> Self {
        Self::Partial { body: body.to_owned(), call: ToolCall::from_body(&body[..length]).ok() }
    }

    /// The call, if it is whole and closed.
    pub fn complete(&self) -> Option<&ToolCall> {
        if let Self::Complete(call) = self { Some(call) } else { None }
    }
}

/// Every tool call of a finished text with its bytes, markers included.
pub fn find_tool_calls(text: &str) -> Vec<(ToolCallParse, Range<usize>)> {
    let pairs = Markup::tool_calls().pairs().unwrap_or_default();
    let found = scan_pairs(pairs, text).into_iter();
    found
        .filter_map(|found| match found.item {
            Item::ToolCall(parse) => Some((parse, found.bytes)),
            _ => None,
        })
        .collect()
}

/// Follows JSON far enough to know whether a byte stands inside a string.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Quoting {
    /// Between strings.
    #[default]
    Outside,
    /// In a string.
    Inside,
    /// Behind a backslash in a string.
    Escaped,
}

impl Quoting {
    /// The state behind `byte`.
    pub(super) fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Outside, b'"') | (Self::Escaped, _) => Self::Inside,
            (Self::Inside, b'\\') => Self::Escaped,
            (Self::Inside, b'"') => Self::Outside,
            (state, _) => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(name: &str, arguments: Value) -> ToolCallParse {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        ToolCallParse::Complete(ToolCall { name: name.to_owned(), arguments })
    }

    fn parses(text: &str) -> Vec<ToolCallParse> {
        find_tool_calls(text).into_iter().map(|found| found.0).collect()
    }

    #[test]
    fn several_calls_and_the_text_between_them() {
        let text = "I look.\n<tool_call>\n{\"name\": \"search\", \"arguments\": {\"query\": {\"all\": [\"a\", {}]}}}\n\
                    </tool_call>\nand\n<tool_call>{\"arguments\":\"{\\\"n\\\": 2}\",\"name\":\"take\"}</tool_call>";
        let want = [call("search", json!({"query": {"all": ["a", {}]}})), call("take", json!({"n": 2}))];
        assert_eq!(parses(text), want);
        let spans: Vec<&str> = find_tool_calls(text).into_iter().map(|found| &text[found.1]).collect();
        assert!(spans.iter().all(|span| span.starts_with("<tool_call>") && span.ends_with("</tool_call>")));
    }

    #[test]
    fn markers_inside_strings_are_arguments() {
        let text = r#"<tool_call>{"name": "say", "arguments": {"text": "</tool_call> \"<tool_call>\" }"}}</tool_call>"#;
        assert_eq!(parses(text), [call("say", json!({"text": "</tool_call> \"<tool_call>\" }"}))]);
    }

    #[test]
    fn what_is_no_call_says_why() {
        let reason = |body: &str| ToolCall::from_body(body).unwrap_err();
        assert!(matches!(reason("{name: 1}"), ToolCallError::Json(_)));
        assert!(matches!(reason(""), ToolCallError::Json(_)));
        assert!(matches!(reason(&"[".repeat(100_000)), ToolCallError::Json(_)), "deep nesting is refused");
        assert_eq!(reason("[]"), ToolCallError::NotAnObject);
        assert_eq!(reason(r#"{"arguments": {}}"#), ToolCallError::Name);
        assert_eq!(reason(r#"{"name": "", "arguments": {}}"#), ToolCallError::Name);
        assert_eq!(reason(r#"{"name": "f"}"#), ToolCallError::Arguments);
        assert_eq!(reason(r#"{"name": "f", "arguments": "[1]"}"#), ToolCallError::Arguments);
        assert!(matches!(reason(r#"{"name": "f", "arguments": "n=2"}"#), ToolCallError::ArgumentsJson(_)));
    }

    #[test]
    fn a_turn_that_ends_inside_is_partial() {
        let body = r#"{"name": "f", "argu"#;
        let want = ToolCallParse::Partial { body: body.to_owned(), call: None };
        assert_eq!(parses(&format!("<tool_call>{body}")), [want]);
        for cut in ["", "<", "</tool_call"] {
            let found = parses(&format!(r#"<tool_call>{{"name": "f", "arguments": {{}}}}{cut}"#));
            let [ToolCallParse::Partial { call: Some(call), .. }] = &found[..] else { panic!("{found:?}") };
            assert_eq!(call.name, "f");
        }
    }

    #[test]
    fn a_string_left_open_does_not_swallow_the_rest_of_the_turn() {
        let text = r#"<tool_call>{"name": "f</tool_call> then <tool_call>{'name': 'g'}</tool_call>"#;
        let found = parses(text);
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|parse| matches!(parse, ToolCallParse::Invalid { .. })), "{found:?}");
    }
}
