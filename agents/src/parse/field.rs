//! Fields of an answer found by a regular expression, such as `Action: (\w+)`.
//!
//! The time to match is linear in the length of the text whatever the expression, and the memory of a compiled expression is
//! bounded, so neither a configuration nor an answer can stall a run.

use regex::{Regex, RegexBuilder};

use super::pick::{Excerpt, Pick, ReadError};

/// Most bytes that a compiled expression may take.
const SIZE_LIMIT: usize = 1 << 20;

/// A named part of an answer.
#[derive(Debug, Clone)]
pub struct Field {
    name: String,
    regex: Regex,
    /// The group that is the field's value: 0 for the whole match.
    group: usize,
}

/// Why an expression cannot describe a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern of field `{name}` is not usable: {reason}")]
pub struct FieldError {
    /// The field.
    pub name: String,
    /// What is wrong with its pattern.
    pub reason: String,
}

impl Field {
    /// A field whose value is the group called `name` in `pattern`, or else its first group, or else the whole match.
    pub fn new(name: &str, pattern: &str) -> Result<Self, FieldError> {
        let regex = RegexBuilder::new(pattern).size_limit(SIZE_LIMIT).build();
        let regex = regex.map_err(|error| FieldError { name: name.to_owned(), reason: error.to_string() })?;
        let named = regex.capture_names().position(|group| group == Some(name));
        let group = named.unwrap_or(usize::from(regex.captures_len() > 1));
        Ok(Self { name: name.to_owned(), regex, group })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its values in `text`. A match in which the group took no part has none.
    pub fn find_all<'t>(&self, text: &'t str) -> Vec<Excerpt<'t>> {
        let captures = self.regex.captures_iter(text);
        let values = captures.filter_map(|captures| captures.get(self.group));
        values.map(|value| Excerpt { text: value.as_str(), bytes: value.range() }).collect()
    }

    /// Its value in `text`.
    pub fn read<'t>(&self, text: &'t str, pick: Pick) -> Result<Excerpt<'t>, ReadError> {
        pick.of(self.find_all(text), || format!("field `{}` (`{}`)", self.name, self.regex))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_the_named_the_first_or_the_whole_match() {
        let text = "Action: move north\nAction: wait";
        let read = |pattern, pick| Field::new("action", pattern).unwrap().read(text, pick).unwrap().text.to_owned();
        assert_eq!(read(r"Action: (\w+)", Pick::First), "move");
        assert_eq!(read(r"Action: (\w+)(?: (?<action>\w+))?", Pick::Last), "north");
        assert_eq!(read(r"(?m)^Action: \w+$", Pick::Only), "Action: wait");
        let excerpt = Field::new("action", r"Action: (\w+)").unwrap().read(text, Pick::Last).unwrap();
        assert_eq!(&text[excerpt.bytes], "wait");
    }

    #[test]
    fn errors_say_what_was_looked_for() {
        let field = Field::new("action", r"Action: (\w+)").unwrap();
        assert!(field.read("hm", Pick::First).unwrap_err().to_string().contains("action"));
        assert!(matches!(field.read("Action: a Action: b", Pick::Only), Err(ReadError::Repeated { count: 2, .. })));
        for pattern in ["(", r"(?:\w{1000}){1000}", r"(a)\1"] {
            assert_eq!(Field::new("x", pattern).unwrap_err().name, "x");
        }
    }

    #[test]
    fn an_expression_that_makes_backtracking_explode_is_matched_in_linear_time() {
        let field = Field::new("x", r"^(a+)+$").unwrap();
        assert!(field.find_all(&("a".repeat(50_000) + "b")).is_empty());
    }
}
