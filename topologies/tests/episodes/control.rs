//! Control: routers, maps, plans, retries, inner teams, joins, faults, steps.

use marft_topologies::Team;
use marft_topologies::turns::{EndReason, Event, Fault, Inputs, Limit, Plan, Said, Scope, Silence, Task, Turns};
use serde_json::json;
use std::sync::Arc;

use super::{Drive, team};

const ROUTED: &str = r#"
    [team]
    name = "routed"
    output = ["boss"]
    [agents.boss]
    role = "Route."
    output = { next = "next=(.*)" }
    routes = { to = ["a", "b"], max_steps = 4, several = 2 }
    [agents.a]
    role = "A."
    sees = []
    [agents.b]
    role = "B."
    sees = []
"#;

#[test]
fn a_router_names_who_speaks_next_and_hears_what_came_of_it() {
    let plan = team(ROUTED);
    let run = Drive::run(&plan, Task::text("q"), |name, turn, _| match (name, turn.round) {
        ("boss", 0) => "next=a".into(),
        ("boss", 1) => "next=b, a".into(),
        ("boss", _) => "next=done".into(),
        _ => format!("{name}{}", turn.round),
    });
    assert_eq!(run.speakers(), ["boss", "a", "boss", "a", "b", "boss", "boss:routes"]);
    assert_eq!(run.shown[2].1.user, "a: a0");
    assert_eq!(run.shown[5].1.user, "a: a1\n\nb: b1");
    assert!(run.events.iter().any(|event| matches!(event, Event::BlockEnded { reason: EndReason::RouterDone, .. })));
}

#[test]
fn a_route_that_cannot_be_read_ends_the_block_and_steps_are_capped() {
    let plan = team(ROUTED);
    let lost = Drive::run(&plan, Task::text("q"), |_, _, _| "next=nobody".into());
    let unparseable =
        |event: &Event| matches!(event, Event::BlockEnded { reason: EndReason::UnparseableRoute { .. }, .. });
    assert!(lost.events.iter().any(unparseable));
    let endless = Drive::run(&plan, Task::text("q"), |_, _, _| "next=a".into());
    assert_eq!(endless.calls, 8);
    assert!(endless.events.iter().any(|event| matches!(event, Event::BlockEnded { reason: EndReason::MaxSteps, .. })));
    let failing = team(&ROUTED.replace("several = 2", "unparseable = \"fail\""));
    let failed = Drive::run(&failing, Task::text("q"), |_, _, _| "next=nobody".into());
    assert_eq!(*failed.end(), EndReason::UnparseableRoute { router: "boss".into() });
}

const PLANNED: &str = r#"
    [team]
    name = "planned"
    output = ["last"]
    [agents.planner]
    role = "Plan."
    schema = { type = "object", required = ["items"], properties = { items = { type = "array", maxItems = 4 } } }
    on_parse_error = { retry = 1, then = "fail" }
    [agents.worker]
    role = "Work."
    map = { over = "planner.items", max = 4, order = "dag" }
    [agents.last]
    role = "Last."
    sees = ["worker"]
"#;

#[test]
fn a_planned_dag_runs_by_its_needs() {
    let plan = team(PLANNED);
    let run = Drive::run(&plan, Task::text("q"), |name, turn, shown| {
        match name {
        "planner" => json!({ "items": [
            { "id": "c", "task": "join", "needs": ["a", "b"] }, { "id": "a", "task": "left" }, { "id": "b", "task": "right" }
        ] })
        .to_string(),
        "worker" => format!("{}<{}>", turn.item.unwrap(), shown.user.lines().last().unwrap()),
        _ => "end".into(),
    }
    });
    let joined = run.shown.iter().find(|(_, shown)| shown.user.ends_with("join")).unwrap();
    assert_eq!(joined.1.user, "q\n\na: 1<left>\n\nb: 2<right>\n\njoin");
    assert_eq!(run.shown.last().unwrap().1.user, "worker: 0<join>\n\nworker: 1<left>\n\nworker: 2<right>");
}

#[test]
fn a_bad_plan_goes_back_to_its_planner_with_the_reason() {
    let plan = team(PLANNED);
    let circle = json!({ "items": [{ "id": "a", "needs": ["b"] }, { "id": "b", "needs": ["a"] }] }).to_string();
    let good = json!({ "items": [{ "id": "a", "task": "do" }] }).to_string();
    let run = Drive::run(&plan, Task::text("q"), |name, turn, _| match (name, turn.attempt) {
        ("planner", 0) => circle.clone(),
        ("planner", _) => good.clone(),
        _ => "done".into(),
    });
    let retry = &run.shown[1].1;
    assert!(retry.user.contains("need each other in a circle"), "{}", retry.user);
    assert_eq!(retry.continues.map(|turn| turn.0), Some(0));
    assert_eq!(run.output(), Some("done"));
    let stubborn = Drive::run(&plan, Task::text("q"), |_, _, _| circle.clone());
    assert!(matches!(stubborn.end(), EndReason::ParseFailure { agent, .. } if agent == "planner"));
    assert_eq!(stubborn.calls, 2);
}

#[test]
fn spawned_agents_take_their_settings_from_the_items() {
    let plan = team(
        r#"
        [team]
        name = "spawned"
        [agents.breeder]
        role = "Breed."
        schema = { type = "object", properties = { agents = { type = "array" } } }
        [agents.child]
        role = "Default."
        spawn = { over = "breeder.agents", max = 2 }
        sees = ["task"]
        "#,
    );
    let settings =
        json!({ "agents": [{ "role": "Poet.", "temperature": 0.25 }, { "temperature": 99.0 }, { "role": "Third." }] });
    let mut temperatures = Vec::new();
    let run = Drive::run_in(
        &plan,
        Task::text("q"),
        |_| 0,
        |name, turn, _| {
            if let marft_topologies::turns::Ask::Words { sampling, .. } = &turn.ask {
                temperatures.push(sampling.temperature);
            }
            Said::text(if name == "breeder" { settings.to_string() } else { "hi".into() })
        },
    );
    let roles: Vec<_> = run.shown.iter().map(|(_, shown)| shown.system.as_str()).collect();
    assert_eq!(roles, ["Breed.", "Poet.", "Default."]);
    assert_eq!(temperatures, [1.0, 0.25, 10.0]);
    let dropped = |event: &Event| matches!(event, Event::Dropped { items: 1, .. });
    assert!(run.events.iter().any(dropped), "{:?}", run.events);
}

#[test]
fn inner_teams_see_their_input_as_the_task() {
    let plan = team(
        r#"
        [team]
        name = "outer"
        output = ["inner"]
        [agents.asker]
        role = "Ask."
        [teams.inner]
        sees = ["asker"]
        rounds = { max = 2 }
        [teams.inner.agents.one]
        role = "One."
        [teams.inner.agents.two]
        role = "Two."
        sees = ["one"]
        "#,
    );
    let run = Drive::run(&plan, Task::text("q"), |name, turn, _| format!("{name}{}", turn.round));
    assert_eq!(run.shown[1].1.user, "asker0");
    assert_eq!(run.output(), Some("inner/two1"));
    assert_eq!(run.calls, 5);
}

#[test]
fn any_takes_the_first_in_declared_order_whatever_comes_first() {
    let plan = team(
        r#"
        [team]
        name = "any"
        output = ["last"]
        [agents.a]
        role = "r"
        when = "task.text != 'skip a'"
        [agents.b]
        role = "r"
        [agents.last]
        role = "r"
        sees = ["a", "b"]
        join = "any"
        "#,
    );
    for order in [0, usize::MAX] {
        let pick = |out: usize| order.min(out - 1);
        let run = Drive::run_in(&plan, Task::text("q"), pick, |name, _, _| Said::text(name));
        assert_eq!(run.shown.last().unwrap().1.user, "a: a");
        let run = Drive::run_in(&plan, Task::text("skip a"), pick, |name, _, _| Said::text(name));
        assert_eq!(run.shown.last().unwrap().1.user, "b: b");
    }
}

#[test]
fn keeping_the_best_never_returns_less_than_the_first_draft() {
    let plan = team(
        r#"
        [team]
        name = "keep"
        rounds = { max = 3, keep = "best", by = "judge.score" }
        output = ["writer"]
        [agents.writer]
        role = "Write."
        [agents.judge]
        role = "Judge."
        sees = ["writer"]
        output = { score = { regex = "([0-9.]+)", type = "number" } }
        "#,
    );
    for (scores, best) in [(["0.5", "0.9", "0.1"], 1), (["0.9", "0.2", "0.1"], 0), (["0.3", "0.3", "none"], 0)] {
        let run = Drive::run(&plan, Task::text("q"), |name, turn, _| match name {
            "writer" => format!("draft {}", turn.round),
            _ => scores[turn.round as usize].into(),
        });
        assert_eq!(run.output(), Some(format!("draft {best}").as_str()));
    }
}

#[test]
fn private_fields_stay_with_their_agent() {
    let plan = team(
        r#"
        [team]
        name = "private"
        output = ["b", "c"]
        [agents.a]
        role = "r"
        [agents.a.output]
        secret = { regex = "<s>(.*?)</s>", private = true }
        hint = { regex = "<h>(.*?)</h>", visible_to = ["b"] }
        [agents.b]
        role = "r"
        sees = ["a"]
        [agents.c]
        role = "r"
        sees = ["a"]
        "#,
    );
    let run = Drive::run(&plan, Task::text("q"), |_, _, _| "one <s>key</s><h>tip</h> two".into());
    assert_eq!(run.shown[1].1.user, "a: one <h>tip</h> two");
    assert_eq!(run.shown[2].1.user, "a: one  two");
}

#[test]
fn contexts_grow_start_anew_or_are_replaced() {
    let shown = |context: &str| {
        let plan = team(&format!(
            "[team]\nname = \"c\"\nrounds = {{ max = 3 }}\n[agents.a]\nrole = \"r\"\ncontext = \"{context}\"\nsees = [\"task\", \"a@-1\"]\n"
        ));
        let run = Drive::run(&plan, Task::text("q"), |_, turn, _| format!("say {}", turn.round));
        let last = run.shown[2].1.clone();
        (last.user, last.continues.map(|turn| turn.0))
    };
    assert_eq!(shown("grow"), ("a: say 1".into(), Some(1)));
    assert_eq!(shown("fresh"), ("q\n\na: say 1".into(), None));
    assert_eq!(shown("replace").1, None);
    assert!(shown("replace").0.starts_with("q\n\na: say 1"));
}

#[test]
fn a_fault_ends_the_episode_and_withdraws_the_rest() {
    let plan = team("[team]\nname = \"f\"\n[agents.a]\nrole = \"r\"\ncount = 2\n");
    let mut turns = Turns::new(&plan, Task::text("q"));
    let ready = turns.take_ready();
    turns.failed(ready[0].id, &Fault("connection reset".into())).unwrap();
    assert_eq!(turns.ended(), Some(&EndReason::Fault { agent: "a[0]".into(), message: "connection reset".into() }));
    assert!(!turns.ended().unwrap().is_complete());
    assert_eq!(turns.take_events(), [Event::Withdrawn { turns: vec![ready[1].id] }]);
    assert!(turns.spoke(ready[1].id, Said::text("late")).is_err());
    assert!(turns.spoke(ready[0].id, Said::text("again")).is_err());
}

#[test]
fn time_that_is_up_gives_the_declared_outcome() {
    let plan = team(
        "[team]\nname = \"slow\"\nrounds = { max = 5 }\nbudget = { seconds = 1.0, on_exhausted = \"last\" }\n[agents.a]\nrole = \"r\"\n",
    );
    let mut turns = Turns::new(&plan, Task::text("q"));
    let first = turns.take_ready()[0].id;
    turns.spoke(first, Said::text("first")).unwrap();
    let second = turns.take_ready()[0].id;
    turns.exhaust(Scope::Block(Team::ROOT), Limit::Seconds);
    assert_eq!(turns.output().map(|message| &*message.text), Some("first"));
    assert_eq!(turns.ended(), Some(&EndReason::BudgetExhausted { of: "slow".into(), limit: Limit::Seconds }));
    assert!(turns.take_events().contains(&Event::Withdrawn { turns: vec![second] }));
}

#[test]
fn a_token_budget_clips_the_last_turn_that_fits() {
    let plan = team(
        "[team]\nname = \"t\"\nrounds = { max = 9 }\nbudget = { tokens = 25, on_exhausted = \"last\" }\n[agents.a]\nrole = \"r\"\nsampling = { max_tokens = 10 }\n",
    );
    let mut most = Vec::new();
    let run = Drive::run_in(
        &plan,
        Task::text("q"),
        |_| 0,
        |_, turn, _| {
            let marft_topologies::turns::Ask::Words { sampling, .. } = &turn.ask else { panic!("a tool") };
            most.push(sampling.max_tokens);
            Said { tokens: sampling.max_tokens, ..Said::text("x") }
        },
    );
    assert_eq!(most, [10, 10, 5]);
    assert_eq!(run.turns.spent().1, 25);
    assert_eq!(run.output(), Some("x"));
}

#[test]
fn memories_are_announced_and_curators_asked() {
    let plan = team(
        r#"
        [team]
        name = "memory"
        rounds = { max = 2 }
        [memories.notes]
        capacity = 4
        curator = "keeper"
        every = 2
        [agents.writer]
        role = "Write."
        writes = ["notes"]
        [agents.keeper]
        role = "Keep."
        "#,
    );
    let run = Drive::run(&plan, Task::text("q"), |name, turn, _| format!("{name} {}", turn.round));
    assert_eq!(run.speakers(), ["writer", "writer", "keeper"]);
    let kept: Vec<_> = run
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Wrote { text, .. } => Some(format!("wrote {text}")),
            Event::Curated { text, .. } => Some(format!("curated {text}")),
            _ => None,
        })
        .collect();
    assert_eq!(kept, ["wrote writer 0", "wrote writer 1", "curated keeper 1"]);
}

#[test]
fn steps_of_an_environment_share_conversations_and_state() {
    let plan = team(
        "[team]\nname = \"s\"\n[state.n]\ntype = \"integer\"\ninit = 0\nscope = \"run\"\n[agents.a]\nrole = \"r\"\nsets = { n = \"n + 1\" }\n",
    );
    let mut turns = Turns::new(&plan, Task::text("first"));
    for (step, text) in ["first", "second"].into_iter().enumerate() {
        let turn = turns.take_ready().remove(0);
        let shown = turns.observation(turn.id, &()).unwrap();
        assert_eq!((turn.step as usize, shown.user.as_str()), (step, text));
        assert_eq!(shown.continues.is_some(), step > 0);
        turns.spoke(turn.id, Said::text("done")).unwrap();
        if step == 0 {
            turns.next_step(Task::text("second"), Vec::new());
        }
    }
    assert_eq!(turns.run_state()[0].1, json!(2));
    let again = Turns::new(&plan, Inputs { state: turns.run_state(), ..Inputs::default() });
    assert_eq!(*again.variable(turns.run_state()[0].0), json!(2));
    assert_eq!(turns.transcript().len(), 2);
}

#[test]
fn an_empty_list_is_silence() {
    let plan = team(
        "[team]\nname = \"m\"\noutput = [\"last\"]\n[task]\nfields = { docs = \"list\" }\n[agents.reader]\nrole = \"r\"\nmap = { over = \"task.docs\", max = 2 }\n[agents.last]\nrole = \"r\"\nsees = [\"reader\"]\n",
    );
    let mut task = Task::text("q");
    task.fields.insert("docs".into(), json!([]));
    let mut turns = Turns::new(&plan, task);
    assert_eq!(turns.ended(), Some(&EndReason::Rounds));
    assert_eq!(turns.output(), None);
    let why = turns.take_events().into_iter().filter_map(|event| match event {
        Event::Skipped { why, .. } => Some(why),
        _ => None,
    });
    assert_eq!(why.collect::<Vec<_>>(), [Silence::NoItems, Silence::DeadPath]);
}

#[test]
fn plans_are_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    fn movable<T: Send + Clone>(_: &T) {}
    let plan: Arc<Plan> = team("[team]\nname = \"x\"\n[agents.a]\nrole = \"r\"\n");
    shared(&plan);
    movable(&Turns::new(&plan, Task::default()));
}
