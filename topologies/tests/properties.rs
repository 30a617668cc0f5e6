//! Properties of reading and checking: what is read can be written and read again; D is acyclic exactly when the checker
//! says so; layers respect it; costs do not depend on order.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;

use marft_topologies::check::{Code, check};
use marft_topologies::source::Sources;
use marft_topologies::spec::TeamSpec;
use marft_topologies::spec::read::read_document;
use proptest::prelude::*;

const RICH: &str = include_str!("fixtures/rich.toml");

fn read(text: &str) -> (Option<TeamSpec>, usize) {
    let (_, spec, problems) = read_document(&mut Sources::default(), "t.toml", text);
    (spec, problems.len())
}

/// A team whose agent `to` sees agent `from` for every pair.
fn team(agents: usize, edges: &[(usize, usize)]) -> String {
    let mut text = String::from("[team]\nname = \"random\"\n");
    for agent in 0..agents {
        let seen = edges.iter().filter(|(_, to)| *to == agent);
        let sees: String = seen.map(|(from, _)| format!(", \"a{from}\"")).collect();
        writeln!(text, "[agents.a{agent}]\nrole = \"r\"\nsees = [\"task\"{sees}]\nsampling = {{ max_tokens = 7 }}")
            .unwrap();
    }
    text
}

/// Whether some order of the agents lets everyone speak after those it sees.
fn acyclic(agents: usize, edges: &[(usize, usize)]) -> bool {
    let mut left: Vec<usize> = (0..agents).collect();
    loop {
        let before = left.len();
        let waiting = left.clone();
        left.retain(|agent| edges.iter().any(|(from, to)| to == agent && waiting.contains(from)));
        if left.len() == before {
            return left.is_empty();
        }
    }
}

fn pairs(agents: usize) -> impl Strategy<Value = Vec<(usize, usize)>> {
    let pair = (0..agents, 0..agents).prop_filter("no self-edges", |(from, to)| from != to);
    prop::collection::btree_set(pair, 0..agents * 2).prop_map(|pairs| pairs.into_iter().collect())
}

#[test]
fn a_file_can_be_written_and_read_again() {
    let (spec, problems) = read(RICH);
    assert_eq!(problems, 0);
    let written = toml::to_string(&spec).unwrap();
    assert_eq!(read(&written), (spec, 0), "{written}");
}

#[test]
fn every_catalogued_file_satisfies_the_schema_and_can_be_written_and_read_again() {
    let validator = jsonschema::validator_for(&marft_topologies::schema::team_schema()).unwrap();
    let files = marft_topologies::catalog::ENTRIES.iter().map(|entry| (entry.name, entry.text));
    for (name, text) in files.chain([("rich", RICH)]) {
        let json = serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap();
        let faults: Vec<_> = validator.iter_errors(&json).map(|fault| fault.to_string()).collect();
        assert_eq!(faults, Vec::<String>::new(), "{name}");
        let (spec, problems) = read(text);
        assert_eq!(problems, 0, "{name}");
        assert_eq!(read(&toml::to_string(&spec).unwrap()), (spec, 0), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_read_without_problems_can_be_written_and_read_again(
        drops in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut lines: Vec<&str> = RICH.lines().collect();
        for drop in drops {
            lines.remove(drop.index(lines.len()));
        }
        if let (Some(spec), 0) = read(&lines.join("\n")) {
            let written = toml::to_string(&spec).unwrap();
            prop_assert_eq!(read(&written), (Some(spec), 0));
        }
    }

    #[test]
    fn d_is_acyclic_exactly_when_the_checker_says_so((agents, edges) in (2_usize..9).prop_flat_map(|n| (Just(n), pairs(n)))) {
        let report = check(&team(agents, &edges), "random.toml");
        let cycles = report.report().problems().iter().any(|problem| problem.code == Code::UncappedCycle);
        prop_assert_eq!(cycles, !acyclic(agents, &edges));
        prop_assert_eq!(report.is_ok(), !cycles);
        if report.is_ok() {
            prop_assert_eq!(report.worst_case().calls, agents as u64);
            prop_assert_eq!(report.worst_case().tokens, 7 * agents as u64);
            let layer = |agent: usize| {
                let name = format!("a{agent}");
                report.layers().iter().position(|layer| layer.contains(&name)).unwrap()
            };
            for (from, to) in edges {
                prop_assert!(layer(from) < layer(to));
            }
        }
    }

    #[test]
    fn every_problem_has_a_place_in_the_file(text in "(\\[[a-z.]{1,12}\\]\n|[a-z]{1,6} = (1|\"x\"|\\[\\]|true)\n){0,12}") {
        let report = check(&text, "random.toml");
        for problem in report.report().problems() {
            let (line, column) = report.report().line_column(problem);
            prop_assert!(line >= 1 && line <= text.lines().count() + 1);
            prop_assert!(column >= 1);
        }
    }
}
