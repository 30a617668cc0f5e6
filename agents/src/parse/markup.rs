//! Which markup a scanner looks for: tool calls, and tags by name.

use serde::{Deserialize, Serialize};

/// Opens a tool call.
pub const TOOL_CALL_OPEN: &str = "<tool_call>";
/// Closes a tool call.
pub const TOOL_CALL_CLOSE: &str = "</tool_call>";

/// Markup of a policy's answers. Everything else is text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Markup {
    /// Whether `<tool_call>` opens a tool call.
    pub tool_calls: bool,
    /// Names of the tags; `answer` stands for `<answer>…</answer>`.
    pub tags: Vec<String>,
}

/// Why a name cannot be that of a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` cannot name a tag: use ASCII letters, digits, `-` and `_`, each name once, and not `tool_call`")]
pub struct MarkupError {
    /// The offending name.
    pub name: String,
}

impl Markup {
    /// Tool calls and nothing else.
    pub fn tool_calls() -> Self {
        Self { tool_calls: true, tags: Vec::new() }
    }

    /// These tags and no tool calls.
    pub fn tags<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self { tool_calls: false, tags: names.into_iter().map(Into::into).collect() }
    }

    /// The pairs of markers to look for. Names are letters, digits, `-` and `_`, so no marker can begin inside another.
    pub(super) fn pairs(&self) -> Result<Vec<Pair>, MarkupError> {
        let mut pairs = Vec::with_capacity(self.tags.len() + 1);
        if self.tool_calls {
            pairs.push(Pair { name: None, open: TOOL_CALL_OPEN.to_owned(), close: TOOL_CALL_CLOSE.to_owned() });
        }
        for name in &self.tags {
            let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            let pair = Pair { name: Some(name.clone()), open: format!("<{name}>"), close: format!("</{name}>") };
            if name.is_empty() || !letters || pair.open == TOOL_CALL_OPEN || pairs.contains(&pair) {
                return Err(MarkupError { name: name.clone() });
            }
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

/// An opening marker with its closing one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    /// Name of the tag; none for a tool call.
    pub(super) name: Option<String>,
    pub(super) open: String,
    pub(super) close: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_that_would_make_markers_ambiguous() {
        for name in ["", "a b", "a>", "</a", "tool_call", "é"] {
            assert_eq!(Markup::tags([name]).pairs(), Err(MarkupError { name: name.to_owned() }));
        }
        assert!(Markup::tags(["a", "b", "a"]).pairs().is_err());
        assert_eq!(Markup::tags(["think", "answer"]).pairs().unwrap().len(), 2);
    }

    #[test]
    fn is_written_in_a_few_words() {
        let markup: Markup = serde_json::from_str(r#"{"tool_calls": true, "tags": ["answer"]}"#).unwrap();
        assert_eq!(markup, Markup { tool_calls: true, tags: vec!["answer".to_owned()] });
        assert!(serde_json::from_str::<Markup>(r#"{"tag": ["answer"]}"#).is_err());
    }
}
