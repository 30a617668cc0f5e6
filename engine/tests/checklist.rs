//! The checklist names tests that exist: a table that nobody checks is wrong within a week.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_test_that_the_checklist_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = std::fs::read_to_string(root.join("docs/marft-checklist.md")).unwrap();
    let mut missing = BTreeSet::new();
    let mut named = 0;
    for (path, test) in table.split('`').filter_map(|word| word.split_once(".rs::")) {
        named += 1;
        let source = std::fs::read_to_string(root.join(format!("{path}.rs"))).unwrap_or_default();
        if !source.contains(&format!("fn {test}(")) {
            missing.insert(format!("{path}.rs::{test}"));
        }
    }
    assert!(missing.is_empty(), "the checklist names tests that are not there: {missing:#?}");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")).collect();
    let unproved: Vec<&&str> = rows.iter().filter(|row| !row.contains(".rs::")).collect();
    assert!(
        rows.len() == 62 && unproved.is_empty(),
        "{} rows name {named} tests; without one: {unproved:#?}",
        rows.len()
    );
}
