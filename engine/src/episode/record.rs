//! The record of one episode: everything that training, replay and a reader need, and nothing that must be computed
//! again.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Segment, SegmentError};
use crate::reward::Attach;

/// Version of the record's form; a reader refuses what is newer.
pub(crate) const FORMAT: u32 = 1;

/// One episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpisodeRecord {
    /// Version of the form.
    pub format: u32,
    /// Names the episode within the run: `<step>-<task>-<sample>`.
    pub id: String,
    /// The training step that rolled it out.
    pub step: u64,
    /// The task's id.
    pub task: String,
    /// Which of the group's samples it is, from 0.
    pub sample: u32,
    /// Where it branched off another episode.
    pub parent: Option<Fork>,
    /// The token sequences, by agent in order of first speech.
    pub segments: Vec<Segment>,
    /// The turns, in the order of the transcript.
    pub turns: Vec<TurnRecord>,
    /// What was earned; `None` where a fault kept the reward from being given.
    pub reward: Option<RewardStreams>,
    /// What broke.
    pub faults: Vec<FaultRecord>,
    /// Why it ended.
    pub end: Cow<'static, str>,
    /// D as it was used: `(from, to)` labels of the agents whose words reached another.
    pub dependencies: Vec<(Arc<str>, Arc<str>)>,
    /// Wall-clock time from start to end, in seconds. With `cached` and `seconds` of the turns all that differs between a run and
    /// its replay.
    pub seconds: f64,
}

/// A branching point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// The parent's id.
    pub episode: String,
    /// The parent's turns before this one are shared.
    pub turn: usize,
}

/// One turn of one node of the team.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnRecord {
    /// The agent's label.
    pub agent: Arc<str>,
    /// Where in the episode it stands, the same in every schedule: turns are told in the order of their keys.
    #[serde(default)]
    pub key: Vec<u32>,
    /// The step of the environment in which it spoke, from 0.
    pub step: u32,
    /// The round of the team in which it spoke, from 0.
    pub round: u32,
    /// What it said, decoded.
    pub text: String,
    /// Its parsed output fields.
    pub fields: Vec<(String, Value)>,
    /// Which segment holds its tokens; `None` for policies without tokens.
    pub segment: Option<usize>,
    /// Tokens sampled.
    pub tokens: usize,
    /// Why the policy stopped.
    pub finish: Cow<'static, str>,
    /// Tokens of the prompt that came out of the prefix cache.
    pub cached: usize,
    /// Wall-clock time from its first question to its end, tools and retries included, in seconds; 0 where all was answered at
    /// once.
    #[serde(default)]
    pub seconds: f32,
}

/// Rewards as streams, by where they attach.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RewardStreams {
    /// Sum of everything.
    pub total: f64,
    /// Per named term, raw and weighted.
    pub terms: Vec<TermRecord>,
    /// On single tokens: `(segment, position, reward)`.
    pub token: Vec<(usize, usize, f64)>,
    /// On turns: `(turn, reward)`.
    pub turn: Vec<(usize, f64)>,
    /// On agents: `(label, reward)`.
    pub agent: Vec<(String, f64)>,
    /// On the team, per step of the environment.
    pub team: Vec<f64>,
    /// On the episode.
    pub episode: f64,
}

/// One term's share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TermRecord {
    /// The term.
    pub name: String,
    /// Its score before weight and gate.
    pub raw: f64,
    /// What entered the sum.
    pub weighted: f64,
    /// Where it attached.
    pub attach: Attach,
}

/// Something that broke: never a reward of 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// The name of a [`FaultKind`].
    pub kind: String,
    /// The turn in which it happened.
    pub turn: Option<usize>,
    /// What is known of it.
    pub message: String,
    /// Whether a retry mended it.
    pub recovered: bool,
}

/// What broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// A voice gave no answer, or none that can be used.
    Policy,
    /// A tool gave no result.
    Tool,
    /// A turn took too long.
    Deadline,
    /// A context was too long.
    Context,
    /// The environment broke.
    Environment,
    /// The reward could not be given.
    Reward,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Policy, Self::Tool, Self::Deadline, Self::Context, Self::Environment, Self::Reward];

    /// Its name in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Tool => "tool",
            Self::Deadline => "deadline",
            Self::Context => "context",
            Self::Environment => "environment",
            Self::Reward => "reward",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl EpisodeRecord {
    /// Whether the episode may be trained on: it has a reward and no fault that was not mended.
    pub fn is_sound(&self) -> bool {
        self.reward.is_some() && self.faults.iter().all(|fault| fault.recovered)
    }

    /// Tokens sampled in all turns.
    pub fn sampled(&self) -> usize {
        self.segments.iter().map(Segment::sampled).sum()
    }

    /// Checks every segment, and that turns point into segments and back.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn validate(&self) -> Result<(), RecordError> {
        for segment in &self.segments {
            segment.validate()?;
            if let Some(span) = segment.spans.iter().find(|span| span.turn >= self.turns.len()) {
                return Err(RecordError::NoSuchTurn { turn: span.turn, turns: self.turns.len() });
            }
        }
        match self.turns.iter().filter_map(|turn| turn.segment).find(|segment| *segment >= self.segments.len()) {
            Some(segment) => Err(RecordError::NoSuchSegment { segment, segments: self.segments.len() }),
            None => Ok(()),
        }
    }

    /// The record without what depends on when and beside what it ran: its time, and what a cache happened to hold.
    fn told(&self) -> Self {
        let mut told = Self { seconds: 0.0, ..self.clone() };
        told.turns.iter_mut().for_each(|turn| (turn.cached, turn.seconds) = (0, 0.0));
        told
    }

    /// Where this episode first differs from another, in words; `None` where both tell the same story. Times do not count,
    /// nor does what came out of a cache.
    pub fn first_difference(&self, other: &Self) -> Option<String> {
        for (at, (mine, theirs)) in self.turns.iter().zip(&other.turns).enumerate() {
            if mine.agent != theirs.agent {
                return Some(format!("turn {at}: `{}` speaks instead of `{}`", theirs.agent, mine.agent));
            }
            if mine.text != theirs.text {
                return Some(format!(
                    "turn {at} of `{}`: says {:?} instead of {:?}",
                    mine.agent, theirs.text, mine.text
                ));
            }
        }
        for (mine, theirs) in self.segments.iter().zip(&other.segments) {
            let agent = &mine.agent;
            if let Some(at) = first_mismatch(&mine.ids, &theirs.ids) {
                return Some(format!(
                    "token {at} of `{agent}`: {:?} instead of {:?}",
                    theirs.ids.get(at),
                    mine.ids.get(at)
                ));
            }
            if let Some(at) = first_mismatch(&mine.logprobs, &theirs.logprobs) {
                return Some(format!(
                    "log-prob of sampled token {at} of `{agent}`: {:?} instead of {:?}",
                    theirs.logprobs.get(at),
                    mine.logprobs.get(at)
                ));
            }
        }
        let (mine, theirs) = (self.told(), other.told());
        if mine.turns.len() != theirs.turns.len() {
            return Some(format!("{} turns instead of {}", theirs.turns.len(), mine.turns.len()));
        }
        if mine.reward != theirs.reward {
            return Some(format!("reward {:?} instead of {:?}", theirs.reward, mine.reward));
        }
        (mine != theirs).then(|| "the records differ outside turns, tokens and rewards".to_owned())
    }
}

fn first_mismatch<T: PartialEq>(mine: &[T], theirs: &[T]) -> Option<usize> {
    let shared = mine.len().min(theirs.len());
    (0..shared).find(|at| mine[*at] != theirs[*at]).or((mine.len() != theirs.len()).then_some(shared))
}

/// In what a record contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A segment contradicts itself.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// A span belongs to a turn that is not there.
    #[error("a span belongs to turn {turn} of {turns}")]
    NoSuchTurn {
        /// The turn.
        turn: usize,
        /// How many there are.
        turns: usize,
    },
    /// A turn's tokens are in a segment that is not there.
    #[error("a turn's tokens are in segment {segment} of {segments}")]
    NoSuchSegment {
        /// The segment.
        segment: usize,
        /// How many there are.
        segments: usize,
    },
}

#[cfg(test)]
pub(super) fn example() -> EpisodeRecord {
    let mut segment = Segment { agent: "actor".to_owned(), policy: "p".to_owned(), ..Segment::default() };
    segment.observe(0, &[1, 2]);
    segment.sample(0, 3, true, &[9, 2], &[-0.25, -1e-7]);
    EpisodeRecord {
        format: FORMAT,
        id: "4-t1-0".to_owned(),
        step: 4,
        task: "t1".to_owned(),
        sample: 0,
        parent: Some(Fork { episode: "4-t1-1".to_owned(), turn: 0 }),
        segments: vec![segment],
        turns: vec![TurnRecord {
            agent: "actor".into(),
            key: vec![0, 0, 0, 0, 0, 0],
            step: 0,
            round: 0,
            text: "läk".to_owned(),
            fields: vec![("answer".to_owned(), Value::from("läk"))],
            segment: Some(0),
            tokens: 2,
            finish: "stop_id".into(),
            cached: 1,
            seconds: 0.25,
        }],
        reward: Some(RewardStreams {
            total: 0.1 + 0.2,
            terms: vec![TermRecord { name: "exact".to_owned(), raw: 1.0, weighted: 0.3, attach: Attach::Episode }],
            episode: 0.1 + 0.2,
            ..RewardStreams::default()
        }),
        faults: vec![],
        end: "complete".into(),
        dependencies: vec![("asker".into(), "actor".into())],
        seconds: 1.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        let mine = example();
        let mut other = example();
        (other.seconds, other.turns[0].seconds) = (9.0, 3.0);
        assert_eq!(mine.first_difference(&other), None);
        other.segments[0].logprobs[1] = -2e-7;
        assert!(mine.first_difference(&other).unwrap().starts_with("log-prob of sampled token 1 of `actor`"));
        other.segments[0].ids[3] = 5;
        assert_eq!(mine.first_difference(&other).unwrap(), "token 3 of `actor`: Some(5) instead of Some(2)");
        other.turns[0].text = "x".to_owned();
        assert!(mine.first_difference(&other).unwrap().starts_with("turn 0 of `actor`"));
    }

    #[test]
    fn faults_and_missing_rewards_are_not_trained_on() {
        let mut record = example();
        assert!(record.is_sound());
        let fault = FaultRecord { kind: "tool".to_owned(), turn: None, message: "503".to_owned(), recovered: true };
        record.faults.push(fault);
        assert!(record.is_sound());
        record.faults[0].recovered = false;
        assert!(!record.is_sound());
        record.faults.clear();
        record.reward = None;
        assert!(!record.is_sound());
    }

    #[test]
    fn dangling_indices_are_found() {
        let mut record = example();
        record.validate().unwrap();
        record.turns[0].segment = Some(1);
        assert!(matches!(record.validate(), Err(RecordError::NoSuchSegment { .. })));
        record.segments[0].spans[0].turn = 8;
        assert!(matches!(record.validate(), Err(RecordError::NoSuchTurn { .. })));
    }
}
