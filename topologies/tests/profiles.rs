//! The profile lists of the MARFT reference: their shapes, read as teams with full lower-triangular D.

use marft_topologies::Team;

fn profiles(roles: &[&str], graded: &str, device: bool) -> String {
    let one = |(index, role): (usize, &&str)| {
        let device = if device { format!(", \"device\": \"cuda:{index}\"") } else { String::new() };
        format!(
            "  {{ \"role\": \"{role}\", \"prompt\": \"You are the {role}. Box it: \\\\boxed{{{{x}}}}\", \"with_answer\": {}{device} }}",
            *role == graded
        )
    };
    format!("[\n{}\n]\n", roles.iter().enumerate().map(one).collect::<Vec<_>>().join(",\n"))
}

#[test]
fn every_reference_shape_is_a_sequence_in_which_everyone_sees_all_before() {
    let shapes: [(&[&str], &str); 5] = [
        (&["solver"], "solver"),
        (&["reasoner", "actor"], "actor"),
        (&["reasoner", "actor", "verifier"], "actor"),
        (&["decomposer", "planner", "executor", "verifier"], "executor"),
        (&["parser", "generator", "selector", "solver", "numeric", "symbolic", "verifier", "aggregator"], "aggregator"),
    ];
    for (roles, graded) in shapes {
        for device in [false, true] {
            let team = Team::parse(&profiles(roles, graded, device), "math.json").unwrap();
            assert_eq!(team.name(), "math");
            let names: Vec<_> = team.nodes().iter().map(|node| node.name.as_str()).collect();
            assert_eq!(names, roles);
            let n = roles.len();
            assert_eq!(team.edges().len(), n * (n - 1) / 2);
            assert!(team.edges().iter().all(|edge| edge.from < edge.to && edge.delay == 0));
            assert!(team.nodes().iter().all(|node| node.sees_task));
            let marked: Vec<_> =
                team.agents().filter(|(_, agent)| agent.graded).map(|(id, _)| team.node(id).name.as_str()).collect();
            assert_eq!(marked, [graded]);
            let (_, first) = team.agents().next().unwrap();
            assert_eq!(first.device.as_deref(), device.then_some("cuda:0"));
            let role = first.role.render(&serde_json::Map::new()).unwrap();
            assert!(role.ends_with("\\boxed{{x}}"), "{role}");
            assert_eq!(team.policy(first.policy).name, roles[0]);
        }
    }
}

#[test]
fn hostile_lists_are_refused_with_a_place() {
    for (text, code) in [
        ("[]", "empty-team"),
        ("[{", "syntax"),
        ("[{}]", "bad-profile"),
        ("[ {\"role\": \"a\", \"prompt\": 3}]", "bad-profile"),
        ("[{\"role\": \"a\", \"prompt\": \"p\", \"promt\": \"p\"}]", "unknown-key"),
    ] {
        let report = Team::parse(text, "p.json").unwrap_err();
        assert_eq!(report.problems()[0].code.as_str(), code, "{text}");
    }
}
