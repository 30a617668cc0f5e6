//! Memories and variables that outlive a turn, an episode, a process.

use super::*;
use crate::environment::{Environment, EnvironmentFault, Outcome, Scene, Standing};
use crate::task::Task;
use marft_topologies::turns::Message;

const DIARY: &str = r#"
[team]
name = "diary"
[memories.lessons]
scope = "run"
capacity = 2
index = "time"
[state.count]
type = "integer"
scope = "run"
init = 0
[agents.writer]
role = "Learn. {{ count }}"
policy = "p"
reads = ["lessons"]
writes = ["lessons"]
sets = { count = "count + 1" }
"#;

fn voice() -> impl Voice {
    letters(None, |question, shown| format!("lesson {} after {}", question.task.id, shown.matches("lesson").count()))
}

#[test]
fn what_is_learnt_is_seen_by_later_episodes_and_survives_the_process() {
    let mut engine = Engine::new(world(DIARY, voice())).unwrap();
    let one = |engine: &mut Engine, numbers: std::ops::Range<u32>| {
        numbers.for_each(|number| engine.open(asked(number, "q")));
        engine.run().unwrap();
        engine.take_closed()
    };
    let first = one(&mut engine, 0..3);
    assert!(first.iter().all(|record| record.turns[0].text.ends_with("after 0")), "side by side nobody sees another");
    let second = one(&mut engine, 3..4);
    // the name of the memory and its two newest records, of three
    assert!(second[0].turns[0].text.ends_with("after 3"), "{}", second[0].turns[0].text);
    let shelf = engine.memories();
    assert_eq!(
        shelf.notebooks[0].notes.iter().map(|note| &note.text[..8]).collect::<Vec<_>>(),
        ["lesson 2", "lesson 3"]
    );

    let kept: Shelf = serde_json::from_str(&serde_json::to_string(&shelf).unwrap()).unwrap();
    let mut other = Engine::new(world(DIARY, voice())).unwrap();
    other.restore_memories(kept);
    assert_eq!(other.memories(), engine.memories());
    let (mine, theirs) = (one(&mut engine, 5..6), one(&mut other, 5..6));
    assert_eq!(mine[0].first_difference(&theirs[0]), None);
    let shown = text_of(&mine[0].segments[0].ids);
    assert!(shown.contains("lesson 3") && shown.starts_with("[system]Learn. 2"), "{shown}");
}

#[test]
fn an_episode_that_broke_teaches_nothing() {
    let voice = Scripted::new(|question| match question.task.id.as_str() {
        "0" => Err(VoiceFault { message: "down".to_owned(), transient: false }),
        _ => Ok(Words { text: "a lesson".to_owned(), ..Words::default() }),
    });
    let mut engine = Engine::new(world(DIARY, voice)).unwrap();
    engine.open(asked(0, "q"));
    engine.run().unwrap();
    engine.take_closed();
    assert!(engine.memories().notebooks[0].notes.is_empty());
    engine.open(asked(1, "q"));
    engine.run().unwrap();
    engine.take_closed();
    assert_eq!(engine.memories().notebooks[0].notes.len(), 1);
}

/// Shows the task when it is let.
#[derive(Debug)]
struct Late(crossbeam::channel::Receiver<()>);

impl Environment for Late {
    fn reset(&mut self, _task: &Task, _seed: Seed) -> Result<Scene, EnvironmentFault> {
        self.0.recv().ok();
        Ok(Scene::default())
    }

    fn step(&mut self, _output: Option<&Message>) -> Result<Outcome, EnvironmentFault> {
        Ok(Outcome { standing: Standing::Done { won: None }, rewards: vec![] })
    }

    fn blocking(&self) -> bool {
        true
    }
}

#[test]
fn an_episode_sees_what_was_known_when_it_was_opened_however_late_it_begins() {
    let (open, gate) = crossbeam::channel::bounded::<()>(0);
    let mut engine = Engine::new(world(DIARY, voice())).unwrap();
    engine.open(Opening { environment: Box::new(Late(gate)), ..asked(0, "q") });
    engine.open(asked(1, "q"));
    while engine.progress().open > 1 {
        engine.tick(Duration::from_millis(200)).unwrap();
    }
    engine.take_closed();
    assert_eq!(engine.memories().notebooks[0].notes.len(), 1);
    drop(open);
    engine.run().unwrap();
    assert!(engine.take_closed()[0].turns[0].text.ends_with("after 0"));
}
