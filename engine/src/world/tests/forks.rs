//! Branches of episodes: what is repeated, what is live, and what an agent was worth.

use std::sync::Mutex;

use super::super::counterfactual::{difference, replaced, roll_out, value, without};
use super::*;
use crate::episode::SpanKind;

const TALK: &str = r#"
[team]
name = "talk"
rounds = { max = 2 }

[agents.asker]
role = "Ask."
policy = "p"
context = "grow"

[agents.keeper]
role = "Answer."
policy = "p"
context = "grow"
sees = ["task", "asker"]
"#;

/// The keeper says yes where the asker said something.
fn voice(log: Arc<Mutex<Vec<String>>>) -> impl Voice {
    letters(None, move |question, shown| {
        log.lock().unwrap().push(question.agent.to_string());
        let asks = *question.agent == *"asker";
        let heard = shown.rsplit("[user]").next().is_some_and(|last| last.contains("which"));
        if asks {
            format!("which? {}", question.seed.draw(0) % 1000)
        } else {
            if heard { "yes" } else { "no" }.to_owned()
        }
    })
}

fn fork(fork: Fork, seed: u64) -> Opening {
    Opening { fork: Some(fork), seed: Seed::of_run(seed), ..asked(1, "q") }
}

#[test]
fn a_branch_repeats_its_beginning_verbatim_and_goes_on_live() {
    let log = Arc::new(Mutex::new(vec![]));
    let real = Arc::new(play(world(TALK, voice(Arc::clone(&log))), [asked(1, "q")]).remove(0));
    assert_eq!(real.turns.len(), 4);
    log.lock().unwrap().clear();
    let branch = play(world(TALK, voice(Arc::clone(&log))), [fork(roll_out(&real, 2), 9)]).remove(0);
    assert_eq!(*log.lock().unwrap(), ["asker", "keeper"], "turns before the branch are asked of nobody");
    assert_eq!(branch.parent.as_ref().map(|parent| parent.turn), Some(2));
    assert_ne!(branch.id, real.id);
    for at in 0..2 {
        assert_eq!(branch.turns[at], real.turns[at]);
    }
    assert_ne!(branch.turns[2].text, real.turns[2].text, "another seed goes on otherwise");
    for (mine, theirs) in branch.segments.iter().zip(&real.segments) {
        let shared = theirs.spans.iter().take_while(|span| span.turn < 2).map(|span| span.length).sum::<usize>();
        assert_eq!(mine.ids[..shared], theirs.ids[..shared], "ids verbatim");
        let trained = |kind| matches!(kind, SpanKind::Sampled { in_loss: true, .. });
        assert!(
            mine.spans.iter().all(|span| trained(span.kind) == (span.turn >= 2 && span.kind != SpanKind::Observed))
        );
    }
    // with the seed of the real episode the branch is the real episode
    let same = play(world(TALK, voice(log)), [Opening { fork: Some(roll_out(&real, 2)), ..asked(1, "q") }]).remove(0);
    assert_eq!(same.turns, real.turns);
}

#[test]
fn an_agent_is_worth_what_is_missing_without_it() {
    let log = Arc::new(Mutex::new(vec![]));
    let real = Arc::new(play(world(TALK, voice(Arc::clone(&log))), [asked(1, "q")]).remove(0));
    let branch = |opening| play(world(TALK, voice(Arc::clone(&log))), [opening]).remove(0);
    let silent = branch(fork(without(&real, "asker").unwrap(), 1));
    assert_eq!(silent.turns.iter().map(|turn| turn.text.as_str()).collect::<Vec<_>>(), ["", "no", "", "no"]);
    assert_eq!(difference(&real, &silent), Some(1.0));
    let other = branch(fork(replaced(&real, "asker", Instead::Says(vec!["which one?".to_owned()])).unwrap(), 1));
    assert_eq!(difference(&real, &other), Some(0.0));
    assert!(without(&real, "nobody").is_none());
    let ends: Vec<_> = (0..3).map(|seed| branch(fork(roll_out(&real, 3), seed))).collect();
    assert_eq!(value(&ends), Some(1.0));
    assert!(silent.segments.iter().all(|segment| segment.agent != "asker"), "words put into a mouth are no tokens");
}
