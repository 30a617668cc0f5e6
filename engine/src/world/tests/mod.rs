//! The world with scripted voices: control flow in milliseconds.

mod beside;
mod contexts;
mod forks;
mod memories;
mod order;
mod payments;
mod primitives;
mod remote;
mod tools;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crossbeam::channel::Sender;
use marft_agents::generate::FinishReason;
use marft_topologies::Team;
use serde_json::json;

use super::*;
use crate::environment::QuestionAnswering;
use crate::episode::EpisodeRecord;
use crate::reward::{Attach, Composite, ExactMatch, RewardTerm, TermSpec};
use crate::seed::Seed;
use crate::task::task;
use crate::voice::{Answer, Line, Question, Scripted, Taken, Voice, VoiceFault, Words};

const DUO: &str = r#"
[team]
name = "duo"

[agents.asker]
role = "Ask."
policy = "asker"

[agents.keeper]
role = "Answer."
policy = "keeper"
sees = ["task", "asker"]
"#;

fn team(source: &str) -> Arc<Team> {
    Arc::new(Team::parse(source, "team.toml").unwrap_or_else(|report| panic!("{report:?}")))
}

fn exact() -> Composite {
    judged_by(ExactMatch::default())
}

/// A reward of one term.
fn judged_by(term: impl RewardTerm + 'static) -> Composite {
    let spec = TermSpec {
        name: "exact".to_owned(),
        term: Box::new(term),
        weight: 1.0,
        gate: None,
        of: None,
        gold: "answer".to_owned(),
        attach: Attach::Episode,
    };
    Composite::new(vec![spec]).unwrap()
}

fn opening(number: u32) -> Opening {
    let row = task(&number.to_string(), &json!({"question": format!("q{number}"), "facts": "f", "answer": "yes"}));
    let own = [("asker".to_owned(), "question".to_owned()), ("keeper".to_owned(), "facts".to_owned())];
    let environment = Box::new(QuestionAnswering { text: None, own: own.into() });
    let seed = Seed::of_run(1).child("task", u64::from(number));
    Opening { step: 1, ..Opening::new(Arc::new(row), environment, seed) }
}

/// A question that every agent sees.
fn asked(number: u32, text: &str) -> Opening {
    let row = task(&number.to_string(), &json!({"question": text, "answer": "yes"}));
    let environment = Box::new(QuestionAnswering { text: Some("question".to_owned()), own: [].into() });
    let seed = Seed::of_run(1).child("task", u64::from(number));
    Opening { step: 1, ..Opening::new(Arc::new(row), environment, seed) }
}

/// One voice for all policies of a team.
fn world(source: &str, voice: impl Voice + 'static) -> EngineConfig {
    let (team, voice) = (team(source), Arc::new(voice) as Arc<dyn Voice>);
    let voices = team.policies().iter().map(|_| Arc::clone(&voice)).collect();
    EngineConfig::new(team, voices, exact())
}

/// Plays episodes of a world; all records hold together.
fn play(config: EngineConfig, openings: impl IntoIterator<Item = Opening>) -> Vec<EpisodeRecord> {
    let mut engine = Engine::new(config).unwrap();
    openings.into_iter().for_each(|opening| engine.open(opening));
    engine.run().unwrap();
    let records = engine.take_closed();
    for record in &records {
        record.validate().unwrap();
        assert!(!record.end.is_empty() && record.end != "open", "every episode ends with a reason");
    }
    records
}

/// The text of tokens that are letters.
fn text_of(ids: &[u32]) -> String {
    ids.iter().filter(|id| **id != 0).filter_map(|id| char::from_u32(*id)).collect()
}

fn ids_of(text: &str) -> Vec<u32> {
    text.chars().map(u32::from).collect()
}

/// What each token of the model of letters stands for.
static ASCII: [u8; 128] = {
    let mut letters = [0; 128];
    let mut at = 0;
    while at < 128 {
        letters[at] = at as u8;
        at += 1;
    }
    letters
};

/// A model whose tokens are letters: it sees and says text, and its window is as long as it is told.
fn letters(
    window: Option<usize>,
    says: impl Fn(&Question, &str) -> String + Send + Sync + 'static,
) -> impl Voice + 'static {
    struct Model<F>(Option<usize>, F);
    impl<F> std::fmt::Debug for Model<F> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Model")
        }
    }
    impl<F: Fn(&Question, &str) -> String + Send + Sync + 'static> Voice for Model<F> {
        fn ask(&self, question: Question, _answers: &Sender<Answer>) -> Taken {
            let crate::voice::Prompt::Tokens(prompt) = &question.prompt else { panic!("letters were asked in words") };
            let text = (self.1)(&question, &text_of(prompt));
            let mut ids = ids_of(&text);
            ids.push(0);
            let logprobs = (0..ids.len()).map(|at| -0.5 - at as f32).collect();
            let finish = Some(FinishReason::StopId(0));
            let words = Words { text, ids, logprobs, finish, version: 3, ..Words::default() };
            Taken::Now(Answer { ticket: question.ticket, outcome: Ok(words) })
        }

        fn open(&self, lines: &[Line]) -> Option<Result<Vec<u32>, VoiceFault>> {
            let lines = lines.iter().map(|line| format!("[{}]{}", line.role, line.text));
            Some(Ok(ids_of(&(lines.collect::<String>() + "[assistant]"))))
        }

        fn follow_up(&self, text: &str, ended: bool) -> Result<Vec<u32>, VoiceFault> {
            assert!(ended, "letters always end their turns");
            Ok(ids_of(&format!("[user]{text}[assistant]")))
        }

        fn window(&self) -> Option<usize> {
            self.0
        }

        fn token_bytes(&self, id: u32) -> Option<&[u8]> {
            let id = id as usize;
            Some(if id == 0 { &[] } else { ASCII.get(id..=id).unwrap_or_default() })
        }
    }
    Model(window, says)
}

fn engine(voices: Vec<Arc<dyn Voice>>) -> Engine {
    Engine::new(EngineConfig { retries: 2, queue: 4, ..EngineConfig::new(team(DUO), voices, exact()) }).unwrap()
}

fn run(engine: &mut Engine, episodes: u32) -> Vec<EpisodeRecord> {
    (0..episodes).for_each(|number| engine.open(opening(number)));
    engine.run().unwrap();
    engine.take_closed()
}

#[test]
fn each_agent_sees_its_own_observation_and_what_it_depends_on() {
    let asker = Scripted::words(|shown| {
        assert!(shown.contains('q') && !shown.contains("facts"));
        format!("about {shown}")
    });
    let keeper = Scripted::words(|shown| {
        assert!(shown.contains('f') && shown.contains("about"), "{shown}");
        "yes".to_owned()
    });
    let mut engine = engine(vec![Arc::new(asker), Arc::new(keeper)]);
    let records = run(&mut engine, 20);
    assert_eq!(records.len(), 20);
    for record in &records {
        record.validate().unwrap();
        assert_eq!(record.reward.as_ref().unwrap().total, 1.0);
        assert_eq!(record.turns.iter().map(|turn| &*turn.agent).collect::<Vec<_>>(), ["asker", "keeper"]);
        assert_eq!(record.dependencies, [("asker".into(), "keeper".into())]);
    }
    assert_eq!(engine.dependencies(), [("asker".to_owned(), "keeper".to_owned(), 20)]);
    assert_eq!(engine.progress(), Progress { open: 0, waiting: 0, turns: 40, tokens: 0 });
}

#[test]
fn a_fault_is_no_reward_and_harms_no_other_episode() {
    let asker = Scripted::new(|question| match &question.prompt {
        crate::voice::Prompt::Words(lines) if lines[1].text.contains("q3") => {
            Err(VoiceFault { message: "down".to_owned(), transient: false })
        }
        _ => Ok(Words { text: "?".to_owned(), ..Words::default() }),
    });
    let mut engine = engine(vec![Arc::new(asker), Arc::new(Scripted::words(|_| "no".to_owned()))]);
    let records = run(&mut engine, 6);
    for record in &records {
        if record.task == "3" {
            assert_eq!((record.reward.is_none(), &*record.end), (true, "fault"));
            assert_eq!(record.faults[0].message, "down");
            assert!(!record.is_sound());
        } else {
            assert_eq!(record.reward.as_ref().unwrap().total, 0.0);
            assert!(record.is_sound());
        }
    }
}

#[test]
fn a_transient_fault_is_asked_again() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let asker = Scripted::new(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Err(VoiceFault { message: "busy".to_owned(), transient: true }),
        _ => Ok(Words { text: "?".to_owned(), ..Words::default() }),
    });
    let mut engine = engine(vec![Arc::new(asker), Arc::new(Scripted::words(|_| "yes".to_owned()))]);
    let records = run(&mut engine, 1);
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    assert!(records[0].is_sound() && records[0].faults.len() == 2);
}

/// Answers from other threads, the first asked last.
#[derive(Debug)]
struct Late(u64);

impl Voice for Late {
    fn ask(&self, question: Question, answers: &Sender<Answer>) -> Taken {
        let (answers, delay) = (answers.clone(), self.0.saturating_sub(question.ticket.0 % 7));
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(delay));
            let words = Words { text: "yes".to_owned(), ..Words::default() };
            drop(answers.send(Answer { ticket: question.ticket, outcome: Ok(words) }));
        });
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
fn records_do_not_depend_on_who_answers_first() {
    let mut at_once =
        engine(vec![Arc::new(Scripted::words(|_| "yes".to_owned())), Arc::new(Scripted::words(|_| "yes".to_owned()))]);
    let mut late = engine(vec![Arc::new(Late(9)), Arc::new(Late(3))]);
    let (expected, found) = (run(&mut at_once, 12), run(&mut late, 12));
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(expected.first_difference(found), None);
    }
    assert_eq!(expected.len(), found.len());
}

#[test]
fn a_task_without_its_column_is_a_fault_of_that_episode() {
    let yes = || Arc::new(Scripted::words(|_| "yes".to_owned())) as Arc<dyn Voice>;
    let mut engine = engine(vec![yes(), yes()]);
    let mut broken = opening(0);
    broken.task = Arc::new(task("0", &json!({"answer": "yes"})));
    engine.open(broken);
    engine.open(opening(1));
    engine.run().unwrap();
    let records = engine.take_closed();
    assert_eq!(records[0].faults[0].kind, "environment");
    assert!(records[1].is_sound());
}

#[test]
fn every_policy_needs_a_voice() {
    let config = EngineConfig::new(team(DUO), vec![], exact());
    assert!(matches!(Engine::new(config), Err(EngineError::Voices { policies: 2, voices: 0 })));
}
