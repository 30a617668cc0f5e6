//! Headers, names and worst cases.

use marft_topologies::{Team, catalog};

#[test]
fn every_file_is_valid_and_costs_what_its_header_says() {
    let mut problems = String::new();
    for entry in catalog::ENTRIES {
        let team = match Team::parse(entry.text, &format!("catalog:{}", entry.name)) {
            Ok(team) => team,
            Err(report) => {
                problems += &report.render(false, 120);
                continue;
            }
        };
        if team.name() != entry.name || team.description().is_empty() {
            problems += &format!("{}: name and description must be there\n", entry.name);
        }
        let header: Vec<&str> = entry.text.lines().take_while(|line| line.starts_with('#')).collect();
        let calls = header.iter().find_map(|line| line.strip_prefix("# Worst-case calls: "));
        let worst = team.worst_case().calls.to_string();
        if calls != Some(worst.as_str()) {
            problems += &format!("{}: the header says {calls:?} calls, the worst case is {worst}\n", entry.name);
        }
        if !header.iter().any(|line| line.starts_with("# Source: ")) {
            problems += &format!("{}: no source\n", entry.name);
        }
    }
    assert!(problems.is_empty(), "{problems}");
}

#[test]
fn the_folder_and_the_list_agree() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/catalog");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|file| file.strip_suffix(".toml").unwrap().to_owned())
        .collect();
    files.sort();
    let mut listed: Vec<_> = catalog::ENTRIES.iter().map(|entry| entry.name.to_owned()).collect();
    listed.sort();
    assert_eq!(files, listed);
    assert!(listed.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')));
}

/// The formulas of the surveys: self-consistency n; debate N·(M+1); MoA L·w+1; generator-critic-refiner 1+2m;
/// a beam over a tree b + (d-1)·w·b expansions with one score each.
#[test]
fn worst_cases_follow_the_formulas() {
    let calls = |name: &str| Team::parse(catalog::source(name).unwrap(), name).unwrap().worst_case().calls;
    assert_eq!(calls("self-consistency"), 8);
    let (debaters, rounds) = (3, 2);
    assert_eq!(calls("debate"), debaters * (rounds + 1));
    assert_eq!(calls("debate-with-stances"), 2 * 3 + 1);
    let (layers, width) = (2, 3);
    assert_eq!(calls("mixture-of-agents"), layers * width + 1);
    assert_eq!(calls("generator-critic-refiner"), 1 + 2 * 3);
    let (branch, depth, width) = (3, 3, 2);
    assert_eq!(calls("tree-of-thoughts"), 2 * (branch + (depth - 1) * width * branch) + 1);
    assert_eq!(calls("rerank-pairwise"), 8 * 7 + 1);
    assert_eq!(calls("rerank-listwise"), (8 - 4) / 2 + 1 + 1);
    assert_eq!(calls("rerank-tournament"), 7 + 1);
}
