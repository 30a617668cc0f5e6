//! Splits: which tasks train, which are held out. Rows that share a key never stand on both sides.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Task;

/// How rows are told apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SplitRule {
    /// A column names the split of each row.
    Column(String),
    /// The hash of a column decides: all rows with the same value fall on the same side, on every machine and in any
    /// order of rows.
    Hash {
        /// The column; for questions about countries, the country.
        by: String,
        /// The share of values that are held out, between 0 and 1.
        held_out: f64,
    },
}

/// The two sides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Splits {
    /// Rows to train on.
    pub train: Vec<Task>,
    /// Rows to evaluate on.
    pub held_out: Vec<Task>,
}

/// Why rows cannot be split.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SplitError {
    /// A row lacks the column.
    #[error("task `{task}` has no column `{column}`, by which the split is made")]
    MissingColumn {
        /// The row.
        task: String,
        /// The column.
        column: String,
    },
    /// The column names something else.
    #[error(
        "task `{task}` names the split `{name}`; known are train, and test, validation, valid, dev, eval or held_out"
    )]
    UnknownSplit {
        /// The row.
        task: String,
        /// What the column says.
        name: String,
    },
    /// The share is not one.
    #[error("`held_out` is {0}, but must lie between 0 and 1")]
    BadShare(f64),
    /// One side is empty.
    #[error("the split leaves the {0} side empty")]
    EmptySide(&'static str),
}

impl Splits {
    /// Splits `rows`, keeping their order.
    ///
    /// # Errors
    /// A row without the column, an unknown name of a split, a side without rows.
    pub fn of(rows: Vec<Task>, rule: &SplitRule) -> Result<Self, SplitError> {
        if let SplitRule::Hash { held_out, .. } = rule
            && !(0.0..=1.0).contains(held_out)
        {
            return Err(SplitError::BadShare(*held_out));
        }
        let mut sides = Self::default();
        let mut known: BTreeMap<String, bool> = BTreeMap::new();
        for task in rows {
            let (SplitRule::Column(column) | SplitRule::Hash { by: column, .. }) = rule;
            let missing = || SplitError::MissingColumn { task: task.id.clone(), column: column.clone() };
            let value = task.text(column).ok_or_else(missing)?;
            let held_out = match rule {
                SplitRule::Hash { held_out, .. } => {
                    *known.entry(value).or_insert_with_key(|value| share(value) < *held_out)
                }
                SplitRule::Column(_) => match value.trim().to_ascii_lowercase().as_str() {
                    "train" | "training" => false,
                    "test" | "validation" | "valid" | "val" | "dev" | "eval" | "held_out" => true,
                    _ => return Err(SplitError::UnknownSplit { task: task.id, name: value }),
                },
            };
            if held_out { sides.held_out.push(task) } else { sides.train.push(task) }
        }
        match (sides.train.is_empty(), sides.held_out.is_empty()) {
            (true, _) => Err(SplitError::EmptySide("training")),
            (_, true) => Err(SplitError::EmptySide("held-out")),
            _ => Ok(sides),
        }
    }
}

/// A number in [0, 1) that depends on the text alone.
fn share(text: &str) -> f64 {
    let digest = Sha256::digest(text.as_bytes());
    let mut word = [0_u8; 8];
    word.copy_from_slice(&digest[..8]);
    (u64::from_be_bytes(word) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::task;
    use super::*;

    fn rows() -> Vec<Task> {
        (0..1000).map(|i| task(&i.to_string(), &json!({"country": format!("c{}", i % 200), "n": i}))).collect()
    }

    #[test]
    fn no_value_stands_on_both_sides_and_the_share_is_about_right() {
        let rule = SplitRule::Hash { by: "country".to_owned(), held_out: 0.3 };
        let splits = Splits::of(rows(), &rule).unwrap();
        let names =
            |side: &[Task]| side.iter().map(|t| t.text("country").unwrap()).collect::<std::collections::BTreeSet<_>>();
        assert!(names(&splits.train).is_disjoint(&names(&splits.held_out)));
        assert_eq!(splits.train.len() + splits.held_out.len(), 1000);
        assert!((200..400).contains(&splits.held_out.len()), "{}", splits.held_out.len());
    }

    #[test]
    fn the_order_of_rows_changes_nothing() {
        let rule = SplitRule::Hash { by: "country".to_owned(), held_out: 0.5 };
        let forward = Splits::of(rows(), &rule).unwrap();
        let mut backward = Splits::of(rows().into_iter().rev().collect(), &rule).unwrap();
        backward.held_out.reverse();
        assert_eq!(forward.held_out, backward.held_out);
    }

    #[test]
    fn columns_and_their_errors() {
        let row = |split: &str| task("7", &json!({"split": split}));
        let rule = SplitRule::Column("split".to_owned());
        assert!(Splits::of(vec![row("train"), row("Test")], &rule).is_ok());
        assert_eq!(Splits::of(vec![row("train")], &rule).unwrap_err(), SplitError::EmptySide("held-out"));
        assert!(matches!(Splits::of(vec![row("other")], &rule), Err(SplitError::UnknownSplit { .. })));
        assert!(matches!(Splits::of(vec![task("1", &json!({}))], &rule), Err(SplitError::MissingColumn { .. })));
        let bad = SplitRule::Hash { by: "split".to_owned(), held_out: 1.5 };
        assert_eq!(Splits::of(vec![row("x")], &bad).unwrap_err(), SplitError::BadShare(1.5));
    }
}
