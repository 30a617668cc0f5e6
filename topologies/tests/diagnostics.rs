//! Every page under `docs/errors` is a test: its example has that problem, its repair has none, and the rendered report
//! is kept as a snapshot.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use marft_topologies::check::{Code, check_file};

struct Page {
    code: Code,
    language: &'static str,
    blocks: Vec<String>,
}

fn pages() -> Vec<Page> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
    let page = |code: &Code| {
        let text = fs_err::read_to_string(folder.join(format!("{}.md", code.as_str()))).unwrap();
        let language = if text.contains("```json") { "json" } else { "toml" };
        let fence = format!("```{language}\n");
        let blocks = text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect();
        Page { code: *code, language, blocks }
    };
    Code::ALL.iter().map(page).collect()
}

fn check(page: &Page, block: &str, folder: &Path) -> marft_topologies::check::CheckReport {
    let path = folder.join(format!("team.{}", page.language));
    fs_err::write(&path, block).unwrap();
    check_file(&path)
}

#[test]
fn every_example_has_the_problem_of_its_page_and_every_repair_has_none() {
    let folder = tempfile::tempdir().unwrap();
    for page in pages() {
        if matches!(page.code, Code::UnknownPreset | Code::MissingFile) {
            assert!(page.blocks.is_empty(), "{} is about run files", page.code.as_str());
            continue;
        }
        let [example, repair] = page.blocks.as_slice() else {
            panic!("{}: a page has an example and a repair", page.code.as_str());
        };
        let report = check(&page, example, folder.path());
        let codes: Vec<_> = report.report().problems().iter().map(|problem| problem.code).collect();
        assert!(codes.contains(&page.code), "{}: found {codes:?}", page.code.as_str());
        let rendered = report.report().render(false, 100).replace(&format!("{}/", folder.path().display()), "");
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(page.code.as_str(), rendered);
        });
        let repaired = check(&page, repair, folder.path());
        assert!(repaired.is_ok(), "{}: {}", page.code.as_str(), repaired.report().render(false, 100));
    }
}

#[test]
fn all_problems_of_a_file_come_at_once_in_order_of_place() {
    let source = include_str!("many_problems.toml");
    let report = marft_topologies::check::check(source, "many.toml");
    insta::assert_snapshot!(report.report().render(false, 100));
    insta::assert_json_snapshot!(report);
}
