//! Every error code in the sources has its page, and every page its error.
//!
//! A code is a capital letter and three digits in quotes (`"T001"`, or `code(T001)` in a derive); its page is
//! `docs/errors/T001.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Finding;
use super::files::SourceFile;

pub(super) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let mut used: BTreeMap<&str, (&Path, usize)> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_rust() && is_product(&file.path)) {
        for (line, text) in file.lines() {
            for code in codes(text) {
                used.entry(code).or_insert((&file.path, line));
            }
        }
    }
    let page = |code: &str| PathBuf::from(format!("docs/errors/{code}.md"));
    let missing = used.iter().filter(|(code, _)| !files.iter().any(|file| file.path == page(code)));
    let missing = missing.map(|(code, (path, line))| {
        Finding::new(path, *line, format!("error {code} has no page {}", page(code).display()))
    });
    let pages = files.iter().filter(|file| file.path.starts_with("docs/errors") && file.has_extension("md"));
    let stale = pages.filter_map(|file| {
        let code = file.path.file_stem()?.to_str()?;
        let known = used.contains_key(code) || !is_code(code);
        (!known).then(|| Finding::new(&file.path, 0, format!("no source gives error {code}")))
    });
    missing.chain(stale).collect()
}

/// What users run; the checker itself and test files speak of made-up codes.
fn is_product(path: &Path) -> bool {
    !path.starts_with("xtask")
        && !path.components().any(|part| part.as_os_str() == "tests")
        && !path.ends_with("tests.rs")
}

fn is_code(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() == 4 && bytes.next().is_some_and(|b| b.is_ascii_uppercase()) && bytes.all(|b| b.is_ascii_digit())
}

/// The codes a line of Rust gives: in quotes, or in `code(…)`.
fn codes(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('"').skip(1).step_by(2);
    let derived = line.split("code(").skip(1).filter_map(|rest| rest.split(')').next());
    quoted.chain(derived).filter(|text| is_code(text))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::files::SourceFile;

    fn messages(files: &[SourceFile]) -> Vec<String> {
        check(files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_code_needs_its_page() {
        let source =
            SourceFile::new("topologies/src/code.rs", "//! x\nSelf::Cycle => \"T007\",\n#[diagnostic(code(T008))]\n");
        let found = messages(&[source, SourceFile::new("docs/errors/T008.md", "# T008\n")]);
        assert_eq!(found, ["topologies/src/code.rs:2: error T007 has no page docs/errors/T007.md"]);
    }

    #[test]
    fn a_page_needs_its_code() {
        let found = messages(&[
            SourceFile::new("docs/errors/T009.md", "# T009\n"),
            SourceFile::new("docs/errors/README.md", "# Errors\n"),
        ]);
        assert_eq!(found, ["docs/errors/T009.md: no source gives error T009"]);
    }

    #[test]
    fn other_strings_and_tests_are_no_codes() {
        let files = [
            SourceFile::new("engine/src/a.rs", "let x = \"T01\"; let y = \"T0011\"; let z = \"t001\";"),
            SourceFile::new("topologies/src/tests.rs", "\"T099\""),
            SourceFile::new("tests/whole_runs.rs", "\"T099\""),
        ];
        assert!(messages(&files).is_empty());
    }
}
