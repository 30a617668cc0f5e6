//! Demonstrations: what agents should have said, by task.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use serde_json::Number;

use super::ReadError;

/// One demonstration: a line of the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demonstration {
    /// The task.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// What each agent says, by label, turn after turn.
    pub says: BTreeMap<String, Turns>,
}

/// One turn, or several.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "what an agent says is a text or a list of texts")]
pub enum Turns {
    /// The only turn.
    One(String),
    /// Turn after turn.
    Many(Vec<String>),
}

/// Ids may be numbers, as they may in the rows of tasks.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "`id` is the id of a task")]
    enum Id {
        Text(String),
        Number(Number),
    }
    Id::deserialize(deserializer).map(|id| match id {
        Id::Text(text) => text,
        Id::Number(number) => number.to_string(),
    })
}

/// A file of demonstrations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Demonstrations(pub Vec<Demonstration>);

impl Demonstrations {
    /// Reads JSON lines.
    ///
    /// # Errors
    /// A file that cannot be read; a line that is no demonstration, by its number.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let text = fs_err::read_to_string(path)?;
        let rows = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let read = |(line, row)| {
            serde_json::from_str(row).map_err(|error| ReadError::Line {
                path: path.to_owned(),
                line,
                message: format!("not a demonstration: {error}"),
            })
        };
        Ok(Self(rows.map(read).collect::<Result<_, _>>()?))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Demonstrations, ReadError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("demonstrations.jsonl");
        std::fs::write(&path, text).unwrap();
        Demonstrations::read(&path)
    }

    #[test]
    fn turns_and_ids_are_read_as_they_are_written() {
        let read = read("{\"id\": 7, \"says\": {\"a\": \"x\", \"b\": [\"y\", \"z\"]}}\n\n").unwrap();
        let [row] = &read.0[..] else { panic!("one row") };
        assert_eq!((row.id.as_str(), &row.says["a"]), ("7", &Turns::One("x".to_owned())));
        assert_eq!(row.says["b"], Turns::Many(vec!["y".to_owned(), "z".to_owned()]));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (line, reason) in [
            (r#"{"id": "7", "says": {"a": 1}}"#, "a text or a list of texts"),
            (r#"{"id": [], "says": {}}"#, "the id of a task"),
            (r#"{"id": "7"}"#, "missing field `says`"),
            ("{", "EOF"),
        ] {
            let error = read(&format!("\n{line}")).unwrap_err().to_string();
            assert!(error.contains("jsonl:2: not a demonstration: ") && error.contains(reason), "{error}");
        }
    }
}
