//! Fixture `dependency_function`: D, layers and unrolled observations of small graphs.

use std::collections::BTreeMap;

use marft_topologies::Team;
use marft_topologies::turns::{Dependency, Inputs, Task, layers};
use serde_json::Value;

use super::{Drive, team};

const FIXTURE: &str = include_str!("../fixtures/dependency_function.json");

/// Agents `n0`, `n1`, … that show their observation as the fixture writes it: `o1|0:a0`.
fn graph(nodes: usize, edges: &[(usize, usize)]) -> String {
    let mut text = "[team]\nname = \"graph\"\n".to_owned();
    for node in 0..nodes {
        let sees = edges.iter().filter(|(_, to)| *to == node).map(|(from, _)| format!(", \"n{from}\""));
        text += &format!(
            "[agents.n{node}]\nrole = \"r\"\nsees = [\"task\"{}]\n\
             prompt = \"{{{{ task }}}}{{% for m in messages %}}|{{{{ m.from[1:] }}}}:{{{{ m.text }}}}{{% endfor %}}\"\n",
            sees.collect::<String>()
        );
    }
    text
}

#[test]
fn matrices_layers_and_observations_are_those_of_the_fixture() {
    let fixture: Value = serde_json::from_str(FIXTURE).unwrap();
    for (name, edges) in fixture["inputs"].as_object().unwrap() {
        let expected = &fixture["expected"][name];
        let matrix: Vec<Vec<u8>> = serde_json::from_value(expected["D"].clone()).unwrap();
        let edges: Vec<(usize, usize)> = serde_json::from_value(edges.clone()).unwrap();
        let text = graph(matrix.len(), &edges);
        if expected["layers"].is_null() {
            let report = Team::parse(&text, "cycle.toml").unwrap_err();
            assert!(report.problems().iter().any(|problem| problem.code.as_str() == "uncapped-cycle"), "{report}");
            continue;
        }
        let plan = team(&text);
        let as_rows = |dependency: &Dependency| -> Vec<Vec<u8>> {
            let ids = || plan.team().node_ids();
            ids().map(|from| ids().map(|to| u8::from(dependency.get(from, to))).collect()).collect()
        };
        assert_eq!(as_rows(&Dependency::of(plan.team())), matrix, "{name}");
        let found: Vec<Vec<u32>> =
            layers(plan.team()).iter().map(|layer| layer.iter().map(|node| node.0).collect()).collect();
        assert_eq!(found, serde_json::from_value::<Vec<Vec<u32>>>(expected["layers"].clone()).unwrap(), "{name}");

        let own = plan.team().node_ids().map(|node| (node, Task::text(format!("o{}", node.0)))).collect();
        let run = Drive::run(&plan, Inputs { own, ..Inputs::default() }, |name, _, _| format!("a{}", &name[1..]));
        let shown: BTreeMap<String, String> =
            run.shown.iter().map(|(name, shown)| (name[1..].to_owned(), shown.user.clone())).collect();
        assert_eq!(serde_json::to_value(shown).unwrap(), expected["unrolled_observation"], "{name}");
        assert_eq!(as_rows(&run.turns.dependency(0)), matrix, "{name}");
    }
}
