//! Demonstrations: what agents should have said, by task.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::TrainerError;
use crate::voice::Sayings;

/// One demonstration: a line of the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demonstration {
    /// The task.
    pub id: String,
    /// What each agent says, by label, turn after turn.
    pub says: BTreeMap<String, Turns>,
}

/// One turn, or several.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Turns {
    /// The only turn.
    One(String),
    /// Turn after turn.
    Many(Vec<String>),
}

/// A file of demonstrations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Demonstrations(pub Vec<Demonstration>);

impl Demonstrations {
    /// Reads JSON lines.
    ///
    /// # Errors
    /// A file that cannot be read; a line that is no demonstration, by its number.
    pub fn read(path: &Path) -> Result<Self, TrainerError> {
        let text = fs_err::read_to_string(path)?;
        let mut rows = vec![];
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let row = serde_json::from_str(line).map_err(|error| TrainerError::State {
                path: path.to_owned(),
                reason: format!("line {}: {error}", number + 1),
            })?;
            rows.push(row);
        }
        Ok(Self(rows))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is said, by task and agent.
    pub fn sayings(&self) -> Sayings {
        let mut sayings = Sayings::new();
        for row in &self.0 {
            for (agent, turns) in &row.says {
                let turns = match turns {
                    Turns::One(text) => vec![text.clone()],
                    Turns::Many(texts) => texts.clone(),
                };
                sayings.insert((row.id.clone(), agent.clone()), turns);
            }
        }
        sayings
    }
}
