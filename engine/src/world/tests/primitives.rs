//! Replicas, maps, routers, nested teams, and agents that are spawned and retired while the team runs.

use std::collections::BTreeSet;

use marft_topologies::catalog;

use super::*;
use crate::tool::{ToolLimits, Tools};

/// Says what the team wants to hear: fields in every form the catalogue reads.
fn obliging(question: &Question, shown: &str) -> String {
    let n = question.seed.draw(0) % 3;
    match &*question.agent {
        "breeder" => {
            let agents: Vec<_> =
                (0..=n + 1).map(|at| json!({"role": format!("expert {at}"), "temperature": 0.5})).collect();
            json!({ "agents": agents }).to_string()
        }
        "router" if shown.contains("hard: ") => "<next>done</next>".to_owned(),
        "router" => "<next>hard</next>".to_owned(),
        "splitter" => r#"{"parts": ["one", "two", "three"]}"#.to_owned(),
        _ => format!("<answer>yes</answer> <score>0.{n}</score>"),
    }
}

fn speakers(record: &EpisodeRecord) -> Vec<&str> {
    record.turns.iter().map(|turn| &*turn.agent).collect()
}

#[test]
fn every_team_of_the_catalogue_ends_with_a_reason() {
    let mut reasons = BTreeSet::new();
    for entry in catalog::ENTRIES {
        let mut tools = Tools::default();
        let team = team(entry.text);
        let agents = team.agents().flat_map(|(_, agent)| agent.tools.clone());
        let called = team.nodes().iter().filter_map(|node| match &node.kind {
            marft_topologies::team::NodeKind::Function(function) => match &function.op {
                marft_topologies::team::Op::Tool { tool, .. } => Some(tool.clone()),
                _ => None,
            },
            _ => None,
        });
        for name in agents.chain(called) {
            tools.blocking(&name, ToolLimits::default(), |_| Ok("a fact".to_owned()));
        }
        for token_level in [true, false] {
            let scripted = Scripted::new(|question| {
                let shown = match &question.prompt {
                    crate::voice::Prompt::Words(lines) => lines.last().map_or("", |line| &line.text),
                    crate::voice::Prompt::Tokens(_) => "",
                };
                Ok(Words { text: obliging(question, shown), ..Words::default() })
            });
            let voice: Arc<dyn Voice> =
                if token_level { Arc::new(letters(None, obliging)) } else { Arc::new(scripted) };
            let voices = team.policies().iter().map(|_| Arc::clone(&voice)).collect();
            let config = EngineConfig { tools: tools.clone(), ..EngineConfig::new(Arc::clone(&team), voices, exact()) };
            for record in play(config, (0..3).map(|number| asked(number, "How many?"))) {
                assert!(
                    record.faults.iter().all(|fault| fault.kind != "policy"),
                    "{}: {:?}",
                    entry.name,
                    record.faults
                );
                reasons.insert(record.end);
            }
        }
    }
    assert!(reasons.contains("rounds") && reasons.contains("until"), "{reasons:?}");
}

#[test]
fn replicas_are_asked_side_by_side_and_differ() {
    let source = "[team]\nname = \"many\"\n[agents.voter]\nrole = \"Vote.\"\ncount = 5\n\
                  [functions.winner]\nop = \"majority\"\nsees = [\"voter\"]\n";
    let records =
        play(world(source, letters(None, |question, _| format!("{}", question.seed.draw(0) % 1000))), [asked(1, "q")]);
    let said: BTreeSet<_> = records[0].turns.iter().map(|turn| turn.text.clone()).collect();
    assert_eq!((records[0].turns.len(), said.len()), (5, 5), "five replicas, each with random numbers of its own");
}

#[test]
fn a_map_runs_over_what_an_agent_lists() {
    let source = r#"
[team]
name = "spread"
[agents.splitter]
role = "Split."
schema = { type = "object", required = ["parts"], properties = { parts = { type = "array", maxItems = 3 } } }
[agents.worker]
role = "Work."
map = { over = "splitter.parts", max = 3 }
"#;
    let records = play(world(source, letters(None, obliging)), [asked(1, "q")]);
    assert_eq!(speakers(&records[0]), ["splitter", "worker", "worker", "worker"]);
    let shown: Vec<_> = records[0].segments.iter().map(|segment| text_of(&segment.ids)).collect();
    assert!(shown[1].contains("one") && shown[2].contains("two") && shown[3].contains("three"), "{shown:?}");
    assert_eq!(records[0].dependencies, [("splitter".into(), "worker".into())]);
}

#[test]
fn spawned_agents_come_and_go_with_the_round() {
    let text = catalog::source("evo-agent").unwrap();
    let records = play(world(text, letters(None, obliging)), (0..6).map(|number| asked(number, "q")));
    let mut counts = BTreeSet::new();
    for record in &records {
        for round in 0..2 {
            let of_round =
                |agent: &str| record.turns.iter().filter(|turn| turn.round == round && *turn.agent == *agent).count();
            assert_eq!(of_round("breeder"), 1);
            counts.insert(of_round("expert"));
        }
    }
    assert!(counts.len() > 1, "how many agents live differs from round to round: {counts:?}");
    let spawned = records[0].segments.iter().find(|segment| segment.agent == "expert").unwrap();
    assert!(text_of(&spawned.ids).starts_with("[system]expert "), "a spawned agent has the role it was spawned with");
}

#[test]
fn a_team_in_a_team_sees_its_task_and_hands_on_its_output() {
    let text = catalog::source("hierarchy").unwrap();
    let records = play(world(text, letters(None, obliging)), [asked(1, "q")]);
    assert!(records[0].is_sound(), "{:?}", records[0].faults);
    let expected = team(text);
    let blocks = expected.blocks().len();
    assert!(blocks > 1, "it is nested");
}

/// Answers nobody before a number of agents is asked.
#[derive(Debug)]
struct Together(usize, std::sync::Mutex<Vec<(Answer, Sender<Answer>)>>);

impl Voice for Together {
    fn ask(&self, question: Question, answers: &Sender<Answer>) -> Taken {
        let words = Words { text: question.agent.to_string(), ..Words::default() };
        let mut asked = self.1.lock().unwrap();
        asked.push((Answer { ticket: question.ticket, outcome: Ok(words) }, answers.clone()));
        if asked.len() == self.0 {
            asked.drain(..).for_each(|(answer, answers)| answers.send(answer).unwrap());
        }
        Taken::Later(Box::new(|| ()))
    }

    fn open(&self, _lines: &[Line]) -> Option<Result<Vec<u32>, VoiceFault>> {
        None
    }

    fn follow_up(&self, _text: &str, _ended: bool) -> Result<Vec<u32>, VoiceFault> {
        Ok(vec![])
    }
}

#[test]
fn agents_of_one_layer_are_out_together() {
    let source = "[team]\nname = \"wide\"\n[agents.a]\nrole = \"A\"\n[agents.b]\nrole = \"B\"\n[agents.c]\nrole = \"C\"\n\
                  [agents.d]\nrole = \"D\"\nsees = [\"a\", \"b\", \"c\"]\n";
    // three agents of each of two episodes, then the fourth of both: none is answered before all of its layer are asked
    let patience = Some(Duration::from_secs(20));
    let mut engine =
        Engine::new(EngineConfig { patience, ..world(source, Together(6, std::sync::Mutex::default())) }).unwrap();
    (0..2).for_each(|number| engine.open(asked(number, "q")));
    while engine.progress().turns < 6 {
        engine.tick(Duration::from_millis(200)).unwrap();
    }
    while engine.progress().waiting < 2 {
        engine.tick(Duration::ZERO).unwrap();
    }
    assert_eq!(engine.progress().turns, 6, "the last layer waits for the first");
}
