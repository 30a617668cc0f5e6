//! The overlap audit: what stands in both splits although it should not.

use std::collections::BTreeMap;

use super::Task;
use crate::reward::normalise;

/// One text that both sides hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The column.
    pub column: String,
    /// The text, normalised.
    pub text: String,
    /// A task of the training side that has it.
    pub train: String,
    /// A task of the held-out side that has it.
    pub held_out: String,
}

/// Texts of `columns` that stand on both sides once case, punctuation and articles are set aside, in the order of the
/// held-out side. Linear in the number of rows.
pub fn audit(train: &[Task], held_out: &[Task], columns: &[String]) -> Vec<Overlap> {
    let mut found = vec![];
    for column in columns {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for task in train {
            if let Some(text) = task.text(column) {
                seen.entry(normalise(&text)).or_insert(&task.id);
            }
        }
        for task in held_out {
            let Some(text) = task.text(column).map(|text| normalise(&text)) else { continue };
            if let Some(train) = seen.get(&text) {
                let (train, held_out) = ((*train).to_owned(), task.id.clone());
                found.push(Overlap { column: column.clone(), text, train, held_out });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::task;
    use super::*;

    #[test]
    fn spelling_does_not_hide_an_overlap() {
        let train = [task("a", &json!({"q": "What is the capital of Chad?"})), task("b", &json!({"q": "other"}))];
        let held_out = [task("c", &json!({"q": "what is capital of chad"})), task("d", &json!({"q": "new"}))];
        let found = audit(&train, &held_out, &["q".to_owned()]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].train.as_str(), found[0].held_out.as_str()), ("a", "c"));
        assert!(audit(&train, &held_out, &["missing".to_owned()]).is_empty());
    }
}
