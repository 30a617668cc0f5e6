//! Memories and variables that outlive a turn, an episode, a process.

use super::*;

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
