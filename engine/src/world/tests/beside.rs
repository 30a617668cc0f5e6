//! Environments that block, turns that are withdrawn, and people.

use super::*;
use crate::environment::{Environment, EnvironmentFault, Outcome, Scene, Standing};
use crate::reward::{Evidence, RewardFault};
use crate::task::Task;
use crate::voice::{Exchanges, Human};
use marft_topologies::turns::{Message, Task as Shown};

/// Counts down, waiting at a gate each time.
#[derive(Debug)]
struct Slow {
    steps: u32,
    gate: Option<crossbeam::channel::Receiver<()>>,
    breaks: bool,
}

impl Environment for Slow {
    fn reset(&mut self, _task: &Task, _seed: Seed) -> Result<Scene, EnvironmentFault> {
        if let Some(gate) = &self.gate {
            gate.recv().ok();
        }
        Ok(Scene { shared: Shown::text("start"), own: vec![] })
    }

    fn step(&mut self, _output: Option<&Message>) -> Result<Outcome, EnvironmentFault> {
        assert!(!self.breaks, "a bug in the environment");
        self.steps -= 1;
        let standing = match self.steps {
            0 => Standing::Done { won: None },
            left => Standing::Open(Scene { shared: Shown::text(format!("{left} left")), own: vec![] }),
        };
        Ok(Outcome { standing, rewards: vec![("step".to_owned(), 1.0)] })
    }

    fn blocking(&self) -> bool {
        true
    }
}

fn slow(number: u32, gate: Option<crossbeam::channel::Receiver<()>>, breaks: bool) -> Opening {
    let opening = asked(number, "q");
    Opening { environment: Box::new(Slow { steps: 3, gate, breaks }), ..opening }
}

const ONE: &str = "[team]\nname = \"one\"\n[agents.a]\nrole = \"A\"\npolicy = \"p\"\n";

#[test]
fn an_environment_that_blocks_holds_back_nobody_else() {
    let (open, gate) = crossbeam::channel::bounded::<()>(0);
    let mut engine = Engine::new(world(ONE, letters(None, |_, _| "yes".to_owned()))).unwrap();
    engine.open(slow(0, Some(gate), false));
    (1..9).for_each(|number| engine.open(slow(number, None, false)));
    while engine.progress().open > 1 {
        engine.tick(Duration::from_millis(200)).unwrap();
    }
    assert_eq!(engine.take_closed().len(), 8);
    drop(open);
    engine.run().unwrap();
    let record = engine.take_closed().remove(0);
    assert_eq!((record.turns.len(), record.reward.as_ref().unwrap().team.as_slice()), (3, &[1.0; 3][..]));
    assert_eq!(record.turns.iter().map(|turn| turn.step).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn an_environment_that_hangs_or_panics_is_a_fault() {
    let (_open, gate) = crossbeam::channel::bounded::<()>(0);
    let config = || world(ONE, letters(None, |_, _| "yes".to_owned()));
    let patience = Some(Duration::from_millis(50));
    let hung = play(EngineConfig { patience, ..config() }, [slow(0, Some(gate), false)]).remove(0);
    assert!(hung.faults[0].message.contains("longer than 0.05 s"), "{:?}", hung.faults);
    let panicked = play(config(), [slow(1, None, true)]).remove(0);
    assert!(panicked.faults[0].message.contains("panicked"), "{:?}", panicked.faults);
    for record in [hung, panicked] {
        assert!(record.faults[0].kind == "environment" && record.reward.is_none());
    }
}

/// Answers the second agent never, and notes when a question is withdrawn.
#[derive(Debug, Default)]
struct Hesitant(Arc<AtomicU32>);

impl Voice for Hesitant {
    fn ask(&self, question: Question, answers: &Sender<Answer>) -> Taken {
        let outcome = match &*question.agent {
            "broken" => Err(VoiceFault { message: "down".to_owned(), transient: false }),
            _ => Ok(Words::default()),
        };
        let answer = Answer { ticket: question.ticket, outcome };
        if *question.agent == *"broken" {
            return Taken::Now(answer);
        }
        let (withdrawn, answers) = (Arc::clone(&self.0), answers.clone());
        Taken::Later(Box::new(move || {
            withdrawn.fetch_add(1, Ordering::Relaxed);
            // an answer that comes after all wants nobody any more
            drop(answers.try_send(answer));
        }))
    }

    fn open(&self, _lines: &[Line]) -> Option<Result<Vec<u32>, VoiceFault>> {
        None
    }

    fn follow_up(&self, _text: &str, _ended: bool) -> Result<Vec<u32>, VoiceFault> {
        Ok(vec![])
    }
}

#[test]
fn turns_that_nobody_waits_for_any_more_are_withdrawn() {
    let source = "[team]\nname = \"two\"\noutput = [\"slow\", \"broken\"]\n[agents.slow]\nrole = \"S\"\n[agents.broken]\nrole = \"B\"\n";
    let withdrawn = Arc::new(AtomicU32::new(0));
    let mut engine = Engine::new(world(source, Hesitant(Arc::clone(&withdrawn)))).unwrap();
    (0..5).for_each(|number| engine.open(asked(number, "q")));
    engine.run().unwrap();
    assert_eq!((withdrawn.load(Ordering::Relaxed), engine.progress().waiting), (5, 0));
    assert!(engine.take_closed().iter().all(|record| record.end == "fault" && record.faults.len() == 1));
    engine.tick(Duration::ZERO).unwrap();
}

/// What a person said in episodes that all ask the same, with answers from `typed` and the record at `path`.
fn spoken(
    typed: &'static str,
    path: &std::path::Path,
    openings: impl IntoIterator<Item = Opening>,
) -> Vec<EpisodeRecord> {
    let exchanges = Arc::new(Exchanges::default());
    exchanges.keep(path).unwrap();
    play(world(ONE, Human::start(typed.as_bytes(), std::io::sink(), exchanges).unwrap()), openings)
}

#[test]
fn a_person_speaks_and_is_not_asked_again() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("human.jsonl");
    let both = || [asked(1, "q"), asked(2, "q")];
    let first = spoken("yes\n\nno\n\n", &path, both());
    assert_eq!([0, 1].map(|at| &*first[at].turns[0].text), ["yes", "no"]);
    assert_eq!(first[0].reward.as_ref().unwrap().total, 1.0);
    let turn = &first[0].turns[0];
    assert!(turn.seconds > 0.0 && f64::from(turn.seconds) <= first[0].seconds, "{turn:?}");
    // an input that is over fails whoever reads it; and the order of episodes does not matter
    let mut again = spoken("", &path, both().into_iter().rev());
    again.sort_by(|one, other| one.task.cmp(&other.task));
    assert_eq!([0, 1].map(|at| first[at].first_difference(&again[at])), [None, None]);
    // another step, and what it is asked anew is recorded too
    let later = || [Opening { step: 3, ..asked(1, "q") }];
    assert!(spoken("", &path, later())[0].faults[0].message.contains("input ended"));
    assert_eq!(spoken("perhaps\n\n", &path, later())[0].turns[0].text, "perhaps");
    assert_eq!(spoken("", &path, later())[0].turns[0].text, "perhaps");
}

#[test]
fn half_a_line_of_a_killed_process_is_cut_off() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("human.jsonl");
    spoken("yes\n\n", &path, [asked(1, "q")]);
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{whole}{}", &whole[..whole.len() / 2])).unwrap();
    assert_eq!(spoken("", &path, [asked(1, "q")])[0].turns[0].text, "yes");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
    std::fs::write(&path, format!("{{}}\n{whole}")).unwrap();
    assert!(Exchanges::default().recall(&path).unwrap_err().to_string().contains("line 1"));
}

/// Goes on for ever, and is cut off after two steps.
#[derive(Debug, Default)]
struct Horizon(u32);

impl Environment for Horizon {
    fn reset(&mut self, _task: &Task, _seed: Seed) -> Result<Scene, EnvironmentFault> {
        Ok(Scene { shared: Shown::text("step 0"), own: vec![] })
    }

    fn step(&mut self, output: Option<&Message>) -> Result<Outcome, EnvironmentFault> {
        self.0 += 1;
        let said = output.map_or("nothing", |output| &*output.text);
        let feedback = Scene { shared: Shown::text(format!("step {}: you said {said}", self.0)), own: vec![] };
        let standing = if self.0 == 2 { Standing::Truncated } else { Standing::Open(feedback) };
        Ok(Outcome { standing, rewards: vec![("alive".to_owned(), 0.5)] })
    }
}

#[test]
fn a_horizon_cuts_an_episode_off_and_says_so() {
    let openings = (0..4).map(|number| Opening { environment: Box::new(Horizon::default()), ..asked(number, "q") });
    let records = play(world(ONE, letters(None, |question, _| format!("yes{}", question.turn))), openings);
    for record in &records {
        assert_eq!((&*record.end, record.turns.len(), record.is_sound()), ("truncated", 2, true));
        assert_eq!(record.reward.as_ref().unwrap().team, [0.5, 0.5]);
        assert!(text_of(&record.segments[0].ids).contains("step 1: you said yes0"), "feedback reaches the next step");
    }
}

const SOLO: &str = r#"
[team]
name = "solo"
[agents.solver]
role = "Solve."
policy = "p"
"#;

/// Judges "slow" only when it is let.
#[derive(Debug)]
struct SlowJudge(crossbeam::channel::Receiver<()>);

impl RewardTerm for SlowJudge {
    fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
        match evidence.answer {
            Some("slow") => Ok(if self.0.recv().is_ok() { 2.0 } else { 0.0 }),
            Some("broken") => Err(RewardFault::Custom("no judge".to_owned())),
            _ => Ok(1.0),
        }
    }

    fn blocking(&self) -> bool {
        true
    }
}

#[test]
fn a_reward_that_blocks_holds_back_nobody_else() {
    let (open, gate) = crossbeam::channel::bounded(1);
    let reward = judged_by(SlowJudge(gate));
    let voice = letters(None, |_, shown| shown.trim_end_matches("[assistant]").rsplit(']').next().unwrap().to_owned());
    let mut engine = Engine::new(EngineConfig { reward, ..world(SOLO, voice) }).unwrap();
    engine.open(asked(0, "slow"));
    engine.open(asked(1, "broken"));
    (2..20).for_each(|number| engine.open(asked(number, "quick")));
    while engine.progress().open > 1 {
        engine.tick(Duration::from_millis(200)).unwrap();
    }
    let records = engine.take_closed();
    assert_eq!(records.len(), 19);
    let broken = records.iter().find(|record| record.task == "1").unwrap();
    assert_eq!((broken.reward.is_none(), broken.faults[0].kind.as_str()), (true, "reward"));
    let quick = records.iter().filter(|record| record.task != "1");
    assert!(quick.into_iter().all(|record| record.reward.as_ref().unwrap().total == 1.0));
    open.send(()).unwrap();
    engine.run().unwrap();
    assert_eq!(engine.take_closed()[0].reward.as_ref().unwrap().total, 2.0);
}

#[test]
fn a_judge_that_hangs_is_a_fault() {
    let (_open, gate) = crossbeam::channel::bounded(0);
    let voice = letters(None, |_, _| "slow".to_owned());
    let patience = Some(Duration::from_millis(50));
    let config = EngineConfig { reward: judged_by(SlowJudge(gate)), patience, ..world(SOLO, voice) };
    let record = play(config, [asked(0, "q")]).remove(0);
    assert_eq!((record.faults.len(), record.faults[0].kind.as_str()), (1, "reward"));
    assert!(record.reward.is_none() && record.faults[0].message.contains("longer than 0.05 s"), "{:?}", record.faults);
}
