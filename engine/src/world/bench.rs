//! What the world itself costs: whole episodes of a chain of agents whose voices answer at once.
//!
//! Everything between opening the first episode and holding the last record is timed, and nothing else happens: no model, no
//! socket, no other thread. All episodes are opened before the first tick, and every record is held until the last; in which order
//! they go on is the schedule's business. Memory is what the process grows by while every episode has begun and its first question
//! is out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::Sender;
use marft_topologies::Team;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Engine, EngineConfig, EngineError, Opening};
use crate::environment::QuestionAnswering;
use crate::episode::EpisodeRecord;
use crate::reward::{Attach, Composite, ExactMatch, TermSpec};
use crate::seed::Seed;
use crate::task::Task;
use crate::voice::{Answer, Line, Question, Scripted, Taken, Voice, VoiceFault};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Agents of the team, each hearing the one before it; at least 1.
    pub agents: usize,
    /// Episodes open at a time.
    pub episodes: usize,
}

/// What a size took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measured {
    /// Agents of the team.
    pub agents: usize,
    /// Episodes open at a time.
    pub episodes: usize,
    /// Turns taken.
    pub turns: u64,
    /// Time from opening the first episode to holding the last record, in seconds.
    pub seconds: f64,
    /// Turns in a second.
    pub turns_per_s: f64,
    /// Time of one turn, its share of opening and closing the episode included, in nanoseconds.
    pub turn_ns: f64,
}

/// Plays `size.episodes` episodes at a time until at least `turns` turns were taken.
///
/// # Errors
/// The world failed.
pub fn time(size: Size, turns: u64) -> Result<Measured, EngineError> {
    let team = chain(size.agents);
    let task = Arc::new(question());
    let mut engine = world(&team, || Arc::new(Scripted::words(|_| "the answer is 42".to_owned())))?;
    // the first round grows the tables of the world and is not timed
    play(&mut engine, size.episodes.min(1000), &task)?;
    let mut taken = 0;
    let mut spent = Duration::ZERO;
    while taken < turns.max(1) {
        let before = engine.progress().turns;
        let start = Instant::now();
        let records = play(&mut engine, size.episodes, &task)?;
        spent += start.elapsed();
        assert_eq!(records.len(), size.episodes, "every episode ends with a record");
        taken += engine.progress().turns - before;
    }
    let seconds = spent.as_secs_f64();
    let (turns_per_s, turn_ns) = (taken as f64 / seconds, 1e9 * seconds / taken as f64);
    Ok(Measured { agents: size.agents, episodes: size.episodes, turns: taken, seconds, turns_per_s, turn_ns })
}

/// Bytes that one open episode takes while its first question is out; `None` where the system does not say.
///
/// # Errors
/// The world failed.
pub fn bytes_per_episode(size: Size) -> Result<Option<f64>, EngineError> {
    let team = chain(size.agents);
    let task = Arc::new(question());
    let mut engine = world(&team, || Arc::new(Silent))?;
    let before = resident();
    (0..size.episodes).for_each(|number| engine.open(opening(number, &task)));
    while engine.progress().waiting < size.episodes {
        engine.tick(Duration::ZERO)?;
    }
    let grown = before.zip(resident()).map(|(before, after)| after.saturating_sub(before) as f64);
    Ok(grown.map(|bytes| bytes / size.episodes as f64))
}

fn play(engine: &mut Engine, episodes: usize, task: &Arc<Task>) -> Result<Vec<EpisodeRecord>, EngineError> {
    (0..episodes).for_each(|number| engine.open(opening(number, task)));
    engine.run()?;
    Ok(engine.take_closed())
}

/// A team in which everybody hears the one before.
fn chain(agents: usize) -> Arc<Team> {
    let mut source = "[team]\nname = \"chain\"\n".to_owned();
    for at in 0..agents.max(1) {
        let sees = at.checked_sub(1).map_or_else(|| "\"task\"".to_owned(), |before| format!("\"agent{before}\""));
        source.push_str(&format!(
            "\n[agents.agent{at}]\nrole = \"Carry the thought on.\"\npolicy = \"voice\"\nsees = [{sees}]\n"
        ));
    }
    Arc::new(Team::parse(&source, "chain.toml").unwrap_or_else(|report| panic!("a chain is a valid team: {report:?}")))
}

fn question() -> Task {
    let fields = [("question", "What is six times seven?"), ("answer", "42")];
    let fields = fields.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect::<Map<_, _>>();
    Task { id: "q".to_owned(), fields }
}

fn opening(number: usize, task: &Arc<Task>) -> Opening {
    let environment = QuestionAnswering { text: Some("question".to_owned()), own: std::collections::BTreeMap::new() };
    let seed = Seed::of_run(1).child("episode", number as u64);
    Opening { step: 1, sample: number as u32, ..Opening::new(Arc::clone(task), Box::new(environment), seed) }
}

fn world(team: &Arc<Team>, voice: impl Fn() -> Arc<dyn Voice>) -> Result<Engine, EngineError> {
    let exact = TermSpec {
        name: "exact".to_owned(),
        term: Box::new(ExactMatch::default()),
        weight: 1.0,
        gate: None,
        of: None,
        gold: "answer".to_owned(),
        attach: Attach::Episode,
    };
    let reward = Composite::new(vec![exact]).unwrap_or_default();
    let voices = team.policies().iter().map(|_| voice()).collect();
    Engine::new(EngineConfig::new(Arc::clone(team), voices, reward))
}

/// Takes every question and never answers.
#[derive(Debug)]
struct Silent;

impl Voice for Silent {
    fn ask(&self, _question: Question, _answers: &Sender<Answer>) -> Taken {
        Taken::Later(Box::new(|| ()))
    }

    fn open(&self, _lines: &[Line]) -> Option<Result<Vec<u32>, VoiceFault>> {
        None
    }

    fn follow_up(&self, _text: &str, _ended: bool) -> Result<Vec<u32>, VoiceFault> {
        Ok(vec![])
    }
}

/// Resident memory of this process, in bytes.
fn resident() -> Option<u64> {
    let text = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
