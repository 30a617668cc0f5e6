//! Every team runs to an end with scripted answers, within its worst case, in any order of answers.

use std::sync::Arc;

use marft_topologies::turns::{Ask, Inputs, LogProbs, Plan, Said, Task, Turn};
use marft_topologies::{Team, catalog};
use serde_json::json;

use super::Drive;

/// An answer that holds every field any team of the catalog looks for; some turns are easily satisfied, some never.
fn answer(turn: &Turn, satisfied: bool) -> Said {
    let mark = turn.key.stream(1);
    let (yes, score) = if satisfied { ("yes", 0.99) } else { ("no", (mark % 90) as f64 / 100.0) };
    let verdict = if satisfied { "pass" } else { "fail" };
    let text = match &turn.ask {
        Ask::Tool { tool } if tool == "evaluate_prompt" => json!({ "score": score }).to_string(),
        Ask::Tool { .. } => "a passage that was found".to_owned(),
        Ask::Words { .. } => {
            let items: Vec<_> =
                (0..3).map(|item| json!({ "id": item.to_string(), "task": "part", "role": "expert" })).collect();
            let json = json!({
                "items": items, "agents": items, "answer": (mark % 3).to_string(), "reason": "so", "confidence": 0.5
            });
            format!("{mark:x}\n{json}")
        }
    };
    let tags = format!(
        "<answer>{}</answer><verdict>{yes}</verdict><verdict>{verdict}</verdict><score>{score}</score><q>one</q><q>two</q><query>words</query>\
         <h>First</h><h>Second</h><prompt>Do it.</prompt><enough>{yes}</enough><done>{yes}</done><stalled>{yes}</stalled>\
         <better>1</better><relevance>{score}</relevance><op>ADD</op>",
        mark % 2
    );
    let logprobs = Some(LogProbs { mean: -0.5, min: -3.0, last: if satisfied { -0.1 } else { -2.0 } });
    Said { text: format!("{text}{tags}"), tokens: 10, calls: 1, cost: 0.0, logprobs }
}

fn inputs() -> Inputs {
    let documents: Vec<_> =
        (0..10).map(|at| json!({ "id": at, "text": format!("Document {at} is long enough to be kept, and says a thing or two.") })).collect();
    let mut task = Task::text("What is asked?");
    task.fields.insert("documents".into(), documents.into());
    Inputs { seed: 11, ..Inputs::from(task) }
}

/// What an agent with JSON output, a router or a tool says instead.
fn said(plan: &Arc<Plan>, name: &str, turn: &Turn, satisfied: bool) -> Said {
    let mut said = answer(turn, satisfied);
    let Some(agent) = plan.team().node(turn.node).agent() else {
        said.text = said.text.split('<').next().unwrap().to_owned();
        return said;
    };
    if agent.output.schema.is_some() {
        let body = said.text.split_once('\n').unwrap().1;
        said.text = body[..=body.rfind('}').unwrap()].to_owned();
    }
    let targets: Vec<String> = plan
        .team()
        .blocks()
        .iter()
        .filter_map(|block| match &block.kind {
            marft_topologies::team::BlockKind::Routed(routing) if plan.team().node(routing.router).name == name => {
                Some(routing)
            }
            _ => None,
        })
        .flat_map(|routing| routing.targets.iter().map(|target| plan.team().node(*target).label.clone()))
        .collect();
    if !targets.is_empty() {
        let next = if satisfied && turn.round > 0 { "done" } else { &targets[turn.round as usize % targets.len()] };
        said.text += &format!("<next>{next}</next>");
    }
    said
}

#[test]
fn every_team_runs_to_its_end_within_its_worst_case_in_any_order() {
    for entry in catalog::ENTRIES {
        let plan = Plan::new(Arc::new(Team::parse(entry.text, entry.name).unwrap()));
        for satisfied in [true, false] {
            let forwards = Drive::run_in(&plan, inputs(), |_| 0, |name, turn, _| said(&plan, name, turn, satisfied));
            let backwards =
                Drive::run_in(&plan, inputs(), |out| out - 1, |name, turn, _| said(&plan, name, turn, satisfied));
            assert_eq!(forwards.transcript(), backwards.transcript(), "{}", entry.name);
            assert!(forwards.end().is_complete(), "{}: {:?}", entry.name, forwards.end());
            let asked = forwards.words;
            let worst = plan.team().worst_case().calls;
            assert!(asked as u64 <= worst, "{}: {asked} calls, worst case {worst}", entry.name);
            assert!(
                forwards.output().is_some_and(|text| !text.is_empty()),
                "{}: {:?} {:?} {:?}",
                entry.name,
                forwards.events,
                forwards.end(),
                forwards.transcript()
            );
            assert!(
                !forwards
                    .events
                    .iter()
                    .any(|event| matches!(event, marft_topologies::turns::Event::Unevaluated { .. })),
                "{}: {:?}",
                entry.name,
                forwards.events
            );
        }
    }
}
