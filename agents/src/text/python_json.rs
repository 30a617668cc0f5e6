//! JSON as Python's `json.dumps(value, ensure_ascii=False)` writes it, which is what chat templates were trained with.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// `value` on one line with `, ` and `: `, or over lines indented by `indent` spaces.
pub(super) fn dumps(value: &Value, indent: Option<usize>) -> String {
    let mut text = Vec::new();
    let written = match indent {
        None => value.serialize(&mut Serializer::with_formatter(&mut text, Spaced)),
        Some(width) => {
            let spaces = vec![b' '; width.min(16)];
            value.serialize(&mut Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(&spaces)))
        }
    };
    written.unwrap_or_else(|error| unreachable!("a JSON value is written to memory: {error}"));
    String::from_utf8_lossy(&text).into_owned()
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `json.dumps({"b": [1, 2.5, None, True], "a": {"ü": "<'\"\n"}}, ensure_ascii=False, indent=…)` of Python 3.11.
    #[test]
    fn writes_like_python() {
        let value = serde_json::json!({"b": [1, 2.5, null, true], "a": {"ü": "<'\"\n"}, "e": []});
        assert_eq!(dumps(&value, None), r#"{"b": [1, 2.5, null, true], "a": {"ü": "<'\"\n"}, "e": []}"#);
        let pretty = "{\n  \"b\": [\n    1,\n    2.5,\n    null,\n    true\n  ],\n  \"a\": {\n    \"ü\": \"<'\\\"\\n\"\n  },\n  \"e\": []\n}";
        assert_eq!(dumps(&value, Some(2)), pretty);
    }
}
