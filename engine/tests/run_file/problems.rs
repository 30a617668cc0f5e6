//! What wrong files are told: every file under `wrong/` has several problems, and its report is kept.

use std::path::Path;

use crate::folder::{Folder, GOOD};

#[test]
fn every_wrong_file_is_told_all_its_problems() {
    let folder = Folder::new();
    let wrong = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run_file/wrong");
    let mut files: Vec<_> = fs_err::read_dir(wrong).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let text = fs_err::read_to_string(&file).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, folder.problems(&text, &[]));
        });
    }
}

#[test]
fn overrides_are_told_their_problems_where_they_were_written() {
    let folder = Folder::new();
    let overrides = [
        ("train.stps", "3"),
        ("train.steps", "many"),
        ("stages.0.epochs", "3"),
        ("reward.3.weight", "2"),
        ("model.frozen", "[\"asker\", \"kepeer\"]"),
        ("a..b", "1"),
        ("algorithm.lambda", "2"),
        ("task.split.hash.by", "contry"),
    ];
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("overrides", folder.problems(GOOD, &overrides));
    });
}

#[test]
fn a_problem_of_a_team_inside_the_team_is_shown_in_its_own_file() {
    let folder = Folder::new();
    let inner = "[team]\nname = \"inner\"\n[agents.solver]\nrole = \"Solve it.\"\nconstrain = { regex = \"a\\\\b\" }\n";
    folder.write("inner.toml", inner);
    folder.write("team.toml", "[team]\nname = \"outer\"\n[teams.inside]\nuse = \"inner.toml\"\nsees = [\"task\"]\n");
    let run = "[model]\nbase = \"random:llama\"\n[task]\nfiles = \"tasks.jsonl\"\nenvironment = { text = \"question\" }\n\
               [[reward]]\nkind = \"exact\"\n";
    let told = folder.problems(run, &[]);
    assert!(told.contains("[inner.toml:5:13]") && told.contains("cannot be held to this form"), "{told}");
}

#[test]
fn a_file_that_is_not_there_is_a_report_too() {
    let report = marft_engine::settings::file::load(Path::new("no/such/run.toml"), &[]).unwrap_err();
    assert!(report.problems()[0].message.starts_with("cannot read `no/such/run.toml`"));
}
