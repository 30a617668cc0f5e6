//! `marft check`, `marft graph` and `marft catalog`.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use crate::program::{Run, marft};

/// Runs with `text` on standard input.
fn fed<const N: usize>(args: [&str; N], text: &str) -> Run {
    let mut child = marft(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Run::ended(child.wait_with_output().unwrap())
}

macro_rules! snapshot {
    ($name:literal, $run:expr) => {
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $run);
        });
    };
}

const BROKEN: &str =
    "[team]\nname = \"broken\"\n\n[agents.solver]\nrolle = \"Solve it.\"\nsees = [\"task\", \"critic\"]\n";

#[test]
fn a_valid_file_is_summed_up() {
    snapshot!("check-debate", Run::of(&mut marft(["check", "catalog:debate", "catalog:hierarchy"])));
}

#[test]
fn all_problems_of_a_broken_file_are_told_with_their_places() {
    let run = fed(["check", "-"], BROKEN);
    assert_eq!(run.code(), Some(1));
    snapshot!("check-broken", run);
}

#[test]
fn json_is_one_object_per_file_and_line() {
    let run = fed(["check", "--format", "json", "catalog:duo", "-", "nothere.toml"], BROKEN);
    assert_eq!(run.code(), Some(1));
    let lines: Vec<serde_json::Value> =
        run.stdout().lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert_eq!(
        lines.iter().map(|line| line["ok"].as_bool()).collect::<Vec<_>>(),
        [Some(true), Some(false), Some(false)]
    );
    snapshot!("check-json", run);
}

/// Every page of `docs/errors` that is about team files has an example; the program finds its problem.
#[test]
fn every_diagnostic_comes_through_the_program() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors");
    let folder = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for page in std::fs::read_dir(pages).unwrap().map(|entry| entry.unwrap().path()) {
        let text = std::fs::read_to_string(&page).unwrap();
        let name = page.file_stem().unwrap().to_str().unwrap().to_owned();
        let language = if text.contains("```json\n") { "json" } else { "toml" };
        let Some(example) = text.split(&format!("```{language}\n")).nth(1) else { continue };
        let file = format!("{name}/team.{language}");
        std::fs::create_dir(folder.path().join(&name)).unwrap();
        std::fs::write(folder.path().join(&file), example.split("```").next().unwrap()).unwrap();
        names.push(file);
    }
    names.sort();
    assert!(names.len() > 30, "{names:?}");
    let mut command = marft(["check", "--format", "json"]);
    let run = Run::of(command.args(&names).current_dir(folder.path()));
    assert_eq!(run.code(), Some(1));
    for (name, line) in names.iter().zip(run.stdout().lines()) {
        let code = name.split_once('/').unwrap().0;
        assert!(line.contains(&format!("\"code\":\"{code}\"")), "{name}: {line}");
    }
    snapshot!("check-every-code", run);
}

#[test]
fn drawings_are_those_of_the_snapshots() {
    for name in ["duo", "debate", "generator-critic-refiner", "orchestrator-with-ledgers"] {
        let file = format!("catalog:{name}");
        for format in ["dot", "mermaid", "svg"] {
            let run = Run::of(&mut marft(["graph", &file, "--format", format]));
            assert_eq!((run.code(), run.stderr()), (Some(0), ""));
            insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(format!("graph-{name}.{format}"), run.stdout());
            });
        }
    }
}

#[test]
fn a_drawing_can_be_written_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("team.svg");
    let run = Run::of(&mut marft(["graph", "catalog:octet", "--output", path.to_str().unwrap()]));
    assert_eq!((run.code(), run.stdout(), run.stderr()), (Some(0), "", ""));
    let drawn = std::fs::read_to_string(&path).unwrap();
    assert_eq!(drawn.matches("class=\"name\"").count(), 8);
    let nowhere = folder.path().join("no/such/folder.svg");
    let run = Run::of(&mut marft(["graph", "catalog:octet", "-o", nowhere.to_str().unwrap()]));
    assert_eq!(run.code(), Some(1));
    assert!(run.stderr().contains("could not write"), "{run}");
}

#[test]
fn a_file_with_problems_is_not_drawn() {
    snapshot!("graph-broken", fed(["graph", "-"], BROKEN));
}

#[test]
fn the_catalog_lists_and_prints_its_files() {
    snapshot!("catalog", Run::of(&mut marft(["catalog"])));
    let printed = Run::of(&mut marft(["catalog", "duo"]));
    assert_eq!(printed.code(), Some(0));
    assert_eq!(printed.stdout(), marft::topologies::catalog::source("duo").unwrap());
    snapshot!("catalog-unknown", Run::of(&mut marft(["catalog", "debat"])));
}

#[test]
fn no_file_is_wrong_usage() {
    assert_eq!(Run::of(&mut marft(["check"])).code(), Some(2));
    assert_eq!(Run::of(&mut marft(["graph", "catalog:duo", "--format", "png"])).code(), Some(2));
}
