//! Random teams under random schedules: same transcript, caps kept, always an end with a reason.

use std::fmt::Write as _;
use std::sync::Arc;

use marft_topologies::Team;
use marft_topologies::turns::{
    Ask, Dependency, EndReason, Event, Inputs, Limit, Message, Observation, Plan, Said, Task, Turn,
};
use proptest::prelude::*;

use super::Drive;

/// One member of a random team.
#[derive(Debug, Clone)]
struct Part {
    /// Bits: which earlier members it sees.
    sees: u16,
    /// Bits: which members it sees from the round before.
    later: u16,
    kind: u8,
    count: u8,
    guard: u8,
    extra: u8,
}

fn part() -> impl Strategy<Value = Part> {
    (any::<u16>(), any::<u16>(), 0..8_u8, 1..3_u8, 0..6_u8, any::<u8>()).prop_map(
        |(sees, later, kind, count, guard, extra)| Part {
            sees,
            later: later & sees.rotate_left(5),
            kind,
            count,
            guard,
            extra,
        },
    )
}

#[derive(Debug, Clone)]
struct Shape {
    parts: Vec<Part>,
    rounds: u32,
    until: bool,
    looped: bool,
    routed: bool,
    budget: u8,
    memory: bool,
}

fn shape() -> impl Strategy<Value = Shape> {
    (prop::collection::vec(part(), 1..7), 1..4_u32, any::<bool>(), any::<bool>(), any::<bool>(), 0..8_u8, any::<bool>())
        .prop_map(|(parts, rounds, until, looped, routed, budget, memory)| Shape {
            parts,
            rounds,
            until,
            looped,
            routed,
            budget,
            memory,
        })
}

/// The team file of a shape. Not every shape is a valid team; the checker says which.
fn text(shape: &Shape) -> String {
    let mut text = String::from("[team]\nname = \"random\"\n");
    let until = if shape.until { ", until = \"n0.text.contains('7')\"" } else { "" };
    writeln!(text, "rounds = {{ max = {}{until} }}", shape.rounds).unwrap();
    let all: Vec<_> = (0..shape.parts.len()).map(|at| format!("\"n{at}\"")).collect();
    writeln!(text, "output = [{}]", all.join(", ")).unwrap();
    match shape.budget {
        0 => text += "budget = { calls = 3, on_exhausted = \"last\" }\n",
        1 => text += "budget = { tokens = 41, on_exhausted = \"fallback\", fallback = \"out of tokens\" }\n",
        2 => text += "budget = { calls = 2, on_exhausted = \"fail\" }\n",
        _ => {}
    }
    text += "[state.seen]\ntype = \"integer\"\ninit = 0\n";
    if shape.memory {
        text += "[memories.log]\ncapacity = 8\n";
    }
    for (at, part) in shape.parts.iter().enumerate() {
        let mut sees: Vec<String> = vec!["\"task\"".to_owned()];
        sees.extend((0..at).filter(|other| part.sees >> other & 1 == 1).map(|other| format!("\"n{other}\"")));
        sees.extend(
            (0..shape.parts.len()).filter(|other| part.later >> other & 1 == 1).map(|other| format!("\"n{other}@-1\"")),
        );
        let sees = sees.join(", ");
        let heard: Vec<_> = (0..at).filter(|other| part.sees >> other & 1 == 1).collect();
        let function = part.kind == 1 && !heard.is_empty();
        let tree = part.kind == 3;
        if function || tree {
            writeln!(text, "[functions.n{at}]\nsees = [{sees}]").unwrap();
        } else {
            writeln!(
                text,
                "[agents.n{at}]\nrole = \"You are {{{{ me }}}}.\"\nsees = [{sees}]\nsampling = {{ max_tokens = 16 }}"
            )
            .unwrap();
        }
        if function {
            text += ["op = \"majority\"\n", "op = \"concat\"\n", "op = \"majority\"\ntie = \"seeded\"\n"]
                [part.extra as usize % 3];
        } else if tree {
            writeln!(text, "op = \"tree\"\nexpand = \"grow{at}\"\nbranch = 2\ndepth = 2").unwrap();
        } else {
            match part.kind {
                2 if !heard.is_empty() => {
                    let order = ["parallel", "chain"][part.extra as usize % 2];
                    writeln!(text, "map = {{ over = \"n{}\", max = 3, order = \"{order}\" }}", heard[0]).unwrap();
                }
                4 => {
                    text += "output = { score = { regex = \"([0-9])\", type = \"integer\" } }\non_parse_error = { retry = 1, then = \"skip\" }\n";
                }
                5 => {
                    text += "sets = { seen = \"seen + 1\" }\nprompt = \"{{ task }} seen {{ seen }}{% for m in messages %} {{ m.from }}:{{ m.text }}{% endfor %}\"\n";
                }
                6 if shape.memory => text += "writes = [\"log\"]\n",
                7 => text += "budget = { calls = 2, on_exhausted = \"last\" }\n",
                _ => {}
            }
        }
        if part.count > 1 && part.kind != 2 {
            writeln!(text, "count = {}", part.count).unwrap();
        }
        match part.guard {
            0 if part.kind != 1 => text += "when = \"round != 1\"\n",
            1 if !heard.is_empty() => writeln!(text, "join = {}", 1 + part.extra % 2).unwrap(),
            _ => {}
        }
        if tree {
            writeln!(text, "[agents.grow{at}]\nrole = \"Grow.\"\nsampling = {{ max_tokens = 8 }}").unwrap();
        }
    }
    if shape.looped && shape.parts.len() > 2 {
        let last = shape.parts.len() - 1;
        writeln!(text, "[loops.again]\nnodes = [\"n{}\", \"n{last}\"]\nmax = 2", last - 1).unwrap();
    }
    if shape.routed {
        text += "[agents.router]\nrole = \"Route.\"\noutput = { next = \"([xyz])\" }\n\
                 routes = { to = [\"x\", \"y\"], max_steps = 3, several = 2, done = [\"z\"] }\n\
                 [agents.x]\nrole = \"X.\"\n[agents.y]\nrole = \"Y.\"\n";
        text = text.replacen("output = [", "output = [\"router\", \"x\", \"y\", ", 1);
    }
    text
}

/// An answer that depends on what was shown and where it was asked, and on nothing else.
fn answer(turn: &Turn, shown: &Observation) -> Said {
    let mut hash = turn.key.stream(3);
    for byte in shown.system.bytes().chain(shown.user.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let most = match &turn.ask {
        Ask::Words { sampling, .. } => sampling.max_tokens,
        Ask::Tool { .. } => 0,
    };
    let route = ["x", "y", "z"][(hash >> 40) as usize % 3];
    let text = format!("{:x} {route}", hash >> 52);
    Said { tokens: most.min((hash >> 20) as u32 % 16 + 1), ..Said::text(text) }
}

/// All of a message that may not depend on the schedule.
fn shown(messages: &[Arc<Message>]) -> Vec<String> {
    let heard = |message: &Message| message.heard.iter().map(|heard| heard.message.key.to_string()).collect::<Vec<_>>();
    messages
        .iter()
        .map(|message| format!("{} {:?} {} {:?}", message.key, message.node, message.text, heard(message)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, max_global_rejects: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_interleaving_gives_the_same_transcript(shape in shape(), seed in any::<u64>()) {
        let team = Team::parse(&text(&shape), "random.toml");
        prop_assume!(team.is_ok());
        let plan = Plan::new(Arc::new(team.unwrap()));
        let inputs = || Inputs { seed: 5, ..Inputs::from(Task::text("q")) };
        let first = Drive::run_in(&plan, inputs(), |_| 0, |_, turn, seen| answer(turn, seen));
        let mut random = seed;
        let any = move |_: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize
        };
        let other = Drive::run_in(&plan, inputs(), any, |_, turn, seen| answer(turn, seen));

        prop_assert_eq!(shown(&first.turns.transcript()), shown(&other.turns.transcript()));
        prop_assert_eq!(first.end(), other.end());
        prop_assert_eq!(first.output(), other.output());
        prop_assert_eq!(first.turns.spent(), other.turns.spent());
        // Caps hold: rounds, worst case, and budgets to the last token.
        let worst = plan.team().worst_case();
        let (calls, tokens, _) = first.turns.spent();
        prop_assert!(calls <= worst.calls && tokens <= worst.tokens, "{calls} {tokens} {worst:?}");
        let root = plan.team().block(Team::ROOT);
        prop_assert!(root.budget.calls.is_none_or(|most| calls <= most));
        prop_assert!(root.budget.tokens.is_none_or(|most| tokens <= most));
        for message in first.turns.transcript() {
            // An employed agent speaks in the rounds of whoever employs it.
            let of = message.turn.map_or(message.node, |turn| first.turns.turn(turn).of);
            let node = plan.team().node(of);
            prop_assert!(message.round < plan.team().block(node.block).rounds.max);
        }
        // What was used of D is what the edges allow.
        prop_assert!(first.turns.dependency(0).is_within(&Dependency::of(plan.team())));
    }

    #[test]
    fn without_dependencies_the_order_of_agents_changes_nothing(count in 1..6_usize, seed in any::<u64>()) {
        let agents = |order: &[usize]| {
            let parts: Vec<_> = order.iter().map(|at| format!("[agents.n{at}]\nrole = \"r{at}\"\n")).collect();
            format!("[team]\nname = \"none\"\n{}", parts.join(""))
        };
        let mut order: Vec<_> = (0..count).collect();
        order.sort_by_key(|at| seed.rotate_left(*at as u32 * 7));
        let said = |text: &str| {
            let plan = super::team(text);
            let run = Drive::run(&plan, Task::text("q"), |name, _, shown| format!("{name}: {} {}", shown.system, shown.user));
            assert_eq!(run.turns.dependency(0), Dependency::none(count));
            let mut said = run.transcript();
            said.sort();
            said
        };
        prop_assert_eq!(said(&agents(&(0..count).collect::<Vec<_>>())), said(&agents(&order)));
    }
}

#[test]
fn a_budget_that_runs_out_in_a_parallel_block_leaves_nothing_behind() {
    let plan = super::team(
        r#"
        [team]
        name = "tight"
        output = ["vote"]
        budget = { calls = 3, on_exhausted = "fallback", fallback = "none" }
        [agents.voter]
        role = "Vote."
        count = 5
        [functions.vote]
        op = "majority"
        sees = ["voter"]
        "#,
    );
    let run = Drive::run(&plan, Task::text("q"), |_, _, _| "a".into());
    assert_eq!(run.calls, 3);
    assert_eq!(run.output(), Some("none"));
    assert_eq!(*run.end(), EndReason::BudgetExhausted { of: "tight".into(), limit: Limit::Calls });
    assert!(run.events.iter().any(|event| matches!(event, Event::Exhausted { limit: Limit::Calls, .. })));
}
