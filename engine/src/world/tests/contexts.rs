//! Contexts that are too long, that are replaced, and that only grow.

use super::*;
use crate::settings::LongContext;

const GROWING: &str = r#"
[team]
name = "growing"
rounds = { max = 6 }

[agents.talker]
role = "R"
policy = "p"
context = "grow"
prompt = "round {{ round }} of a long talk"
sampling = { max_tokens = 10 }
"#;

fn talk(long_context: LongContext, window: Option<usize>) -> EpisodeRecord {
    let voice = letters(window, move |question, shown| {
        assert!(window.is_none_or(|window| shown.chars().count() + 10 <= window), "{shown}");
        if shown.ends_with("nothing else.[assistant]") { "SUM".to_owned() } else { format!("said{}", question.turn) }
    });
    play(EngineConfig { long_context, ..world(GROWING, voice) }, [asked(1, "q")]).remove(0)
}

#[test]
fn a_context_that_grows_is_one_segment() {
    let record = talk(LongContext::Refuse, None);
    assert_eq!((record.segments.len(), record.turns.len(), record.faults.len()), (1, 6, 0));
}

#[test]
fn refusing_is_a_fault_of_its_own_kind() {
    let record = talk(LongContext::Refuse, Some(100));
    assert_eq!((&*record.end, record.reward.is_none()), ("fault", true));
    assert_eq!((record.faults[0].kind.as_str(), record.faults[0].recovered), ("context", false));
    assert!(record.faults[0].message.contains("tokens"), "{}", record.faults[0].message);
}

#[test]
fn the_oldest_turns_are_left_out_whole_in_a_new_segment() {
    let record = talk(LongContext::TruncateOldest, Some(110));
    assert!(record.is_sound() && record.turns.len() == 6);
    let notes: Vec<_> = record.faults.iter().filter(|fault| fault.kind == "context" && fault.recovered).collect();
    assert_eq!(notes.len(), record.segments.len() - 1, "every new segment is told of");
    assert!(record.segments.len() > 1);
    let second = text_of(&record.segments[1].ids);
    assert!(second.starts_with("[system]R[user]round 1 of a long talk[assistant]said1[user]round 2"), "{second}");
    // what was sampled is trained once: copies are observed
    let sampled: usize = record.segments.iter().map(crate::episode::Segment::sampled).sum();
    assert_eq!(sampled, record.turns.iter().map(|turn| turn.tokens).sum::<usize>());
    assert!(record.segments.iter().all(|segment| segment.ids.len() <= 110));
}

#[test]
fn a_summary_is_sampled_in_a_segment_of_its_own() {
    let record = talk(LongContext::Summarise, Some(280));
    // the window is wide enough for the request, so nothing happens before it is reached
    assert!(record.is_sound());
    let record = play(
        EngineConfig {
            long_context: LongContext::Summarise,
            ..world(
                GROWING,
                letters(Some(270), |question, shown| {
                    let sums = shown.ends_with("nothing else.[assistant]");
                    if sums { "SUM".to_owned() } else { format!("s{}{}", question.turn, "x".repeat(30)) }
                }),
            )
        },
        [asked(1, "q")],
    )
    .remove(0);
    assert!(record.is_sound() && record.turns.len() == 6, "{:?}", record.faults);
    let summaries: Vec<_> = record
        .segments
        .iter()
        .filter(|segment| text_of(&segment.ids).ends_with("nothing else.[assistant]SUM"))
        .collect();
    assert!(!summaries.is_empty());
    assert!(summaries.iter().all(|segment| segment.sampled() == 4), "a summary is sampled, its prompt observed");
    let resumed = record.segments.iter().find(|segment| text_of(&segment.ids).contains("summary of the conversation"));
    assert!(text_of(&resumed.unwrap().ids).contains("SUM\n\nround"));
    assert!(record.faults.iter().all(|fault| fault.kind == "context" && fault.recovered));
}

#[test]
fn a_context_that_is_replaced_is_a_segment_each_time() {
    let source =
        GROWING.replace("\"grow\"", "\"replace\"").replace("prompt = \"round {{ round }} of a long talk\"\n", "");
    let voice = letters(None, |question, shown| {
        assert_eq!(shown.contains(&format!("n{}", question.turn.wrapping_sub(1))), question.turn > 0, "{shown}");
        assert!(!shown.contains(&format!("n{}", question.turn.wrapping_sub(2))) || question.turn < 2);
        format!("n{}", question.turn)
    });
    let record = play(world(&source, voice), [asked(1, "q")]).remove(0);
    assert_eq!((record.segments.len(), record.turns.len()), (6, 6));
    assert!(record.turns.iter().enumerate().all(|(at, turn)| turn.segment == Some(at)));
}
