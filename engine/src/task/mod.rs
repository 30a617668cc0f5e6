//! Tasks: rows of a data file, split without overlap, and drawn in a seeded order, by mixture or by curriculum.

mod bands;
mod curriculum;
mod demonstrations;
mod mixture;
mod order;
mod overlap;
mod read;
mod split;

pub use bands::Bands;
pub use curriculum::{Curriculum, CurriculumState};
pub use demonstrations::{Demonstration, Demonstrations, Turns};
pub use mixture::{Mixture, MixtureError};
pub use order::{DataOrder, OrderState};
pub use overlap::{Overlap, audit};
pub use read::{ReadError, read_rows};
pub use split::{SplitError, SplitRule, Splits};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One problem: a row of the data file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Names the task in records and intervals: the row's `id` column where it has one, else its line.
    pub id: String,
    /// The columns.
    pub fields: Map<String, Value>,
}

impl Task {
    /// A column as text: strings as they are, numbers and booleans as they are written. `None` where it is absent, null,
    /// a list or a table.
    pub fn text(&self, field: &str) -> Option<String> {
        match self.fields.get(field)? {
            Value::String(text) => Some(text.clone()),
            value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// A column as a number: JSON numbers, or text that is one.
    pub fn number(&self, field: &str) -> Option<f64> {
        match self.fields.get(field)? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok().filter(|value: &f64| value.is_finite()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The acceptable answers in a column: its elements where it is a list, else its one value.
    pub fn answers(&self, field: &str) -> Vec<String> {
        match self.fields.get(field) {
            Some(Value::Array(values)) => values.iter().filter_map(scalar).collect(),
            Some(value) => scalar(value).into_iter().collect(),
            None => vec![],
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
pub(crate) fn task(id: &str, fields: &Value) -> Task {
    Task { id: id.to_owned(), fields: fields.as_object().unwrap().clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_as_text_numbers_and_answers() {
        let row = task("1", &json!({"a": "x", "n": 3, "s": "4.5", "l": ["p", 7, null], "z": null}));
        assert_eq!(row.text("n").as_deref(), Some("3"));
        assert_eq!(row.text("l"), None);
        assert_eq!(row.number("s"), Some(4.5));
        assert_eq!(row.number("a"), None);
        assert_eq!(row.answers("l"), ["p", "7"]);
        assert_eq!(row.answers("a"), ["x"]);
        assert!(row.answers("none").is_empty() && row.answers("z").is_empty());
    }
}
