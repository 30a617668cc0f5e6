//! What happens does not depend on the schedule, and not on the order in which agents are declared.

use super::super::engine::Order;
use super::*;

const CROWD: &str = r#"
[team]
name = "crowd"
rounds = { max = 2 }

[agents.a]
role = "A"
policy = "p"
context = "grow"

[agents.b]
role = "B"
policy = "p"

[agents.c]
role = "C"
policy = "q"
sees = ["task", "a", "b"]
"#;

#[test]
fn systems_of_a_set_in_either_order_give_the_same_records() {
    let says =
        |question: &Question, shown: &str| format!("{}-{}-{}", question.agent, shown.len(), question.seed.draw(0) % 97);
    let records = |order: Order| {
        let mut engine = Engine::ordered(world(CROWD, letters(None, says)), order).unwrap();
        (0..40).for_each(|number| engine.open(asked(number, "q")));
        engine.run().unwrap();
        engine.take_closed()
    };
    let (declared, reversed) = (records(Order::Declared), records(Order::Reversed));
    assert_eq!(declared.len(), 40);
    for (left, right) in declared.iter().zip(&reversed) {
        assert_eq!(left.first_difference(right), None);
    }
}

/// With no edges a team is a plain Dec-POMDP: nobody's action depends on another's, so the order in which agents are
/// declared changes nothing that any of them sees or says.
#[test]
fn without_edges_the_order_of_agents_changes_nothing() {
    let source = |order: [&str; 3]| {
        let agents = order.map(|name| format!("\n[agents.{name}]\nrole = \"I am {name}.\"\npolicy = \"{name}\"\n"));
        format!("[team]\nname = \"apart\"\noutput = [\"x\", \"y\", \"z\"]\n{}", agents.concat())
    };
    let play_of = |order: [&str; 3]| {
        let voice = letters(None, |question, shown| format!("{shown}/{}", question.agent));
        let records = play(world(&source(order), voice), [asked(1, "one question")]);
        assert!(records[0].dependencies.is_empty(), "D is zero");
        let mut said: Vec<_> = records[0]
            .segments
            .iter()
            .map(|segment| (segment.agent.clone(), segment.ids.clone(), segment.logprobs.clone()))
            .collect();
        said.sort_by(|a, b| a.0.cmp(&b.0));
        (said, records[0].reward.clone().unwrap().total)
    };
    let expected = play_of(["x", "y", "z"]);
    assert_eq!(expected.0.len(), 3);
    for order in [["z", "y", "x"], ["y", "x", "z"], ["z", "x", "y"]] {
        assert_eq!(play_of(order), expected);
    }
}

#[test]
fn what_is_sampled_depends_on_the_place_and_not_on_the_company() {
    let says = |question: &Question, _: &str| format!("{}", question.seed.draw(0));
    let alone = play(world(CROWD, letters(None, says)), [asked(7, "q")]);
    let among = play(world(CROWD, letters(None, says)), (0..30).map(|number| asked(number, "q")));
    let same = among.iter().find(|record| record.task == "7").unwrap();
    assert_eq!(alone[0].first_difference(same), None);
}
