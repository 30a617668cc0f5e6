//! What a source file may hold.

use std::path::Path;

use super::Finding;
use super::files::SourceFile;

/// A file longer than this is two files.
const LONGEST: usize = 600;

/// Words that mark unfinished work. Put together here so that this file does not hold them itself.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[", "ignore"),
];

/// File names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "base", "types", "helpers", "helper", "misc"];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] = &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |line, message: String| findings.push(Finding::new(&file.path, line, message));

    if is_prose(&file.path) || is_generated(&file.path) {
        return findings;
    }
    for (line, text) in file.lines() {
        if !file.has_extension("snap") && text.trim_end() != text {
            add(line, "trailing whitespace".to_owned());
        }
        for word in UNFINISHED.iter().filter(|word| holds_word(text, word)) {
            add(
                line,
                format!(
                    "`{}` marks unfinished work: do it, or say what is missing in an issue",
                    word.trim_end_matches('(')
                ),
            );
        }
        for path in MACHINE_PATHS.iter().filter(|path| text.contains(**path)) {
            add(line, format!("a path below `{path}` exists on one machine only"));
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        add(0, "does not end with a line feed".to_owned());
    }
    if file.is_rust() {
        check_rust(file, &mut add);
    }
    findings
}

fn check_rust(file: &SourceFile, add: &mut impl FnMut(usize, String)) {
    let lines = file.text.lines().count();
    if lines > LONGEST {
        add(0, format!("{lines} lines: a file of more than {LONGEST} holds several concerns"));
    }
    let first = file.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if !first.starts_with("//! ") && !first.starts_with("#![doc = include_str!(") {
        add(1, "does not begin with `//! ` and what it is".to_owned());
    }
    if let Some(name) = file.path.file_stem().and_then(|name| name.to_str()).filter(|name| EMPTY_NAMES.contains(name)) {
        add(0, format!("`{name}` says nothing about what is inside: name the file after it"));
    }
    for (line, text) in file.lines() {
        let code = code(text);
        if !file.path.starts_with("torch") && holds_word(code, concat!("uns", "afe")) {
            add(line, "unsafe code belongs in torch/".to_owned());
        }
        if !file.path.starts_with("engine") && holds_word(code, "bevy_ecs") {
            add(line, "only engine/ knows bevy_ecs".to_owned());
        }
        if !file.path.starts_with("topologies") && holds_word(code, "petgraph") {
            add(line, "only topologies/ knows petgraph".to_owned());
        }
    }
}

/// A line without its comment and without what stands in quotes. Good enough for words that no code needs inside a
/// string that spans lines.
fn code(line: &str) -> &str {
    let end = line.find("//").unwrap_or(line.len());
    let end = line.find('"').map_or(end, |quote| end.min(quote));
    &line[..end]
}

/// Whether `word` stands in `text` and is not part of a longer one.
fn holds_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_some_and(part);
        let after = word.ends_with(part) && text[at + word.len()..].chars().next().is_some_and(part);
        !before && !after
    })
}

/// Texts that speak about these rules, or that are other people's.
fn is_prose(path: &Path) -> bool {
    path.starts_with("LICENSE-APACHE") || path.starts_with("STYLE.md")
}

fn is_generated(path: &Path) -> bool {
    path.ends_with("Cargo.lock") || path.components().any(|part| part.as_os_str() == "fixtures")
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, check};
    use crate::tidy::files::SourceFile;

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(&SourceFile::new(path, text)).iter().map(ToString::to_string).collect()
    }

    fn breaks(path: &str, line: &str, what: &str) {
        let found = messages(path, &format!("//! A file.\n{line}\n"));
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(found[0].starts_with(&format!("{path}:2: ")) && found[0].contains(what), "{found:?}");
    }

    fn keeps(path: &str, line: &str) {
        let found = messages(path, &format!("//! A file.\n{line}\n"));
        assert!(found.is_empty(), "{line}: {found:?}");
    }

    #[test]
    fn unfinished_work_is_found_and_words_that_hold_the_mark_are_not() {
        breaks("a/src/b.rs", concat!("// TO", "DO: more"), "unfinished");
        breaks("a/README.md", concat!("FIX", "ME"), "unfinished");
        breaks("a/src/b.rs", concat!("    todo", "!()"), "unfinished");
        breaks("a/src/b.rs", concat!("    unimplemented", "!(\"x\")"), "unfinished");
        breaks("a/src/b.rs", concat!("    #[", "ignore = \"slow\"]"), "unfinished");
        keeps("a/src/b.rs", concat!("let MAS", "TO", "DON = autodoc!();"));
    }

    #[test]
    fn crates_keep_to_themselves() {
        breaks("agents/src/b.rs", "use bevy_ecs::prelude::*;", "only engine/");
        keeps("engine/src/b.rs", "use bevy_ecs::prelude::*;");
        breaks("engine/src/b.rs", "use petgraph::Graph;", "only topologies/");
        keeps("engine/src/b.rs", "// petgraph describes, entities execute");
    }

    #[test]
    fn unsafe_code_is_found_outside_torch_only() {
        breaks("engine/src/b.rs", concat!("    uns", "afe { f() }"), "torch/");
        keeps("torch/src/b.rs", concat!("    uns", "afe { f() }"));
        keeps("engine/src/b.rs", "#![deny(unsafe_code)]");
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        breaks("docs/a.md", concat!("see /ho", "me/me/x"), "one machine");
        breaks("a/src/b.rs", concat!("let p = \"/ro", "ot/.cache\";"), "one machine");
        keeps("docs/a.md", "see ~/.cache");
    }

    #[test]
    fn trailing_whitespace_is_found_but_not_in_snapshots() {
        breaks("docs/a.md", "text ", "whitespace");
        keeps("tests/snapshots/a.snap", "text ");
    }

    #[test]
    fn every_file_says_what_it_is() {
        assert_eq!(messages("a/src/b.rs", "fn f() {}\n").len(), 1);
        assert_eq!(messages("a/src/b.rs", "//!\n//! Late.\n").len(), 1);
        assert!(messages("a/src/b.rs", "//! What it is.\n").is_empty());
        assert!(messages("a/src/lib.rs", "#![doc = include_str!(\"../README.md\")]\n").is_empty());
    }

    #[test]
    fn long_files_and_empty_names_are_found() {
        let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(LONGEST));
        assert!(messages("a/src/b.rs", &long)[0].contains("601 lines"));
        let just = format!("//! Long.\n{}", "fn f() {}\n".repeat(LONGEST - 1));
        assert!(messages("a/src/b.rs", &just).is_empty());
        assert!(messages("a/src/utils.rs", "//! Things.\n")[0].contains("says nothing"));
    }

    #[test]
    fn a_file_ends_with_a_line_feed() {
        assert!(messages("a.toml", "x = 1")[0].contains("line feed"));
    }
}
