//! Supervised learning: every policy raises the probability of what it said in chosen episodes, demonstrations or its own.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;

use marft_agents::device::DeviceHandle;
use marft_agents::generate::PolicyId;
use marft_agents::parse::find_tool_calls;
use marft_agents::text::Text;
use marft_agents::train::{LossFn, PassOptions, PolicyTable, TrainSequence, micro_batches};
use marft_algorithms::supervised::{ErrorMask, SftWeights, TurnSpan, error_mask, sft};
use regex::Regex;
use serde::Serialize;
use tch::Tensor;

use super::{LearnError, Player};
use crate::episode::{EpisodeRecord, Segment, Span, SpanKind};

/// One episode to learn by heart: the token sequences of the agents that learn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lesson(pub(super) Vec<TrainSequence>);

/// What an update came to.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SupervisedReport {
    /// Mean negative log-likelihood of a token, nats, per policy.
    pub loss: BTreeMap<PolicyId, f64>,
    /// Norm of the gradient before clipping, per policy.
    pub grad_norm: BTreeMap<PolicyId, f64>,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// Tokens learnt.
    pub tokens: usize,
    /// Tokens that went through training passes.
    pub rows: usize,
    /// Updates that were dropped because a number was not finite.
    pub bad_updates: u32,
    /// Updates in a row, up to the last, in which weights that were to learn did not move.
    pub stuck: u32,
}

impl SupervisedReport {
    /// Itself, with what was done and dropped in the passes before it.
    #[must_use]
    pub fn after(mut self, earlier: &Self) -> Self {
        self.rows += earlier.rows;
        self.bad_updates += earlier.bad_updates;
        self.stuck += if self.stuck > 0 { earlier.stuck } else { 0 };
        self
    }
}

/// What of answers that failed is not learnt.
#[derive(Debug, Clone, Copy)]
pub struct Errors<'a> {
    /// Reads tokens.
    pub text: &'a Text,
    /// The answer before an observation that this matches somewhere failed.
    pub pattern: &'a Regex,
    /// How much of it is left out.
    pub mask: ErrorMask,
}

impl Errors<'_> {
    /// The tokens of a segment that are learnt, by position.
    fn kept(&self, segment: &Segment) -> Result<Vec<u32>, LearnError> {
        let ids = |(start, span): &(usize, &Span)| &segment.ids[*start..*start + span.length];
        let placed: Vec<(usize, &Span)> = segment.placed().filter(|(_, span)| span.length > 0).collect();
        let observed = |of: &(usize, &Span)| matches!(of.1.kind, SpanKind::Observed);
        let turn = |(at, of): (usize, &(usize, &Span))| {
            // what is observed next, whatever else was said until then
            let next = placed[at..].iter().find(|later| observed(later));
            let failed = !observed(of) && next.is_some_and(|next| self.pattern.is_match(&self.text.decode(ids(next))));
            let thought = if failed && self.mask == ErrorMask::Action { self.thought(ids(of)) } else { 0 };
            TurnSpan { tokens: of.1.length, thought, trained: !observed(of), failed }
        };
        let turns: Vec<TurnSpan> = placed.iter().enumerate().map(turn).collect();
        let mask = error_mask(&turns, self.mask)?;
        Ok((0..).zip(mask).filter(|(_, kept)| *kept).map(|(position, _)| position).collect())
    }

    /// How many of an answer's tokens come before its first call of a tool; none where there is no call.
    fn thought(&self, ids: &[u32]) -> usize {
        let table = self.text.table();
        let Some((_, call)) = find_tool_calls(&table.text(ids)).into_iter().next() else { return 0 };
        let ends = ids.iter().scan(0, |end, id| {
            *end += table.bytes(*id).len();
            Some(*end)
        });
        ends.take_while(|end| *end <= call.start).count()
    }
}

impl Lesson {
    /// What `players` said in an episode, less what of it failed by `errors`.
    ///
    /// # Errors
    /// None that a record could cause.
    pub fn without(record: &EpisodeRecord, players: &[Player], errors: Errors<'_>) -> Result<Self, LearnError> {
        let mut lesson = Self::default();
        for segment in &record.segments {
            let Some(player) = players.iter().find(|player| player.label == segment.agent) else { continue };
            let scored = errors.kept(segment)?;
            if !scored.is_empty() {
                let (policy, ids) = (player.policy, segment.ids.clone());
                lesson.0.push(TrainSequence { policy, ids, scored, parents: None, critic: None });
            }
        }
        Ok(lesson)
    }

    /// What `players` said in an episode.
    pub fn of(record: &EpisodeRecord, players: &[Player]) -> Self {
        let mut sequences = vec![];
        for segment in &record.segments {
            let Some(player) = players.iter().find(|player| player.label == segment.agent) else { continue };
            let said = segment.placed().filter(|(_, span)| !matches!(span.kind, SpanKind::Observed));
            let scored: Vec<u32> = said.flat_map(|(start, span)| start as u32..(start + span.length) as u32).collect();
            if !scored.is_empty() {
                let (policy, ids) = (player.policy, segment.ids.clone());
                sequences.push(TrainSequence { policy, ids, scored, parents: None, critic: None });
            }
        }
        Self(sequences)
    }

    /// Tokens to be learnt.
    pub fn tokens(&self) -> usize {
        self.0.iter().map(|sequence| sequence.scored.len()).sum()
    }
}

/// One update on `lessons`; each policy's loss is the mean over its own tokens.
pub(super) fn teach(
    handle: &DeviceHandle<PolicyTable>,
    lessons: &[Lesson],
    pass: PassOptions,
    batch_tokens: usize,
) -> Result<SupervisedReport, LearnError> {
    let mut sequences: Vec<&TrainSequence> = lessons.iter().flat_map(|lesson| &lesson.0).collect();
    sequences.sort_by_key(|sequence| sequence.policy);
    let mut tokens: BTreeMap<PolicyId, usize> = BTreeMap::new();
    for sequence in &sequences {
        *tokens.entry(sequence.policy).or_default() += sequence.scored.len();
    }
    let mut report = SupervisedReport { tokens: tokens.values().sum(), ..SupervisedReport::default() };
    let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
    let (told, losses) = channel();
    for batch in micro_batches(&lengths, batch_tokens) {
        let batch: Vec<TrainSequence> = batch.into_iter().map(|at| sequences[at].clone()).collect();
        let parts: Vec<(PolicyId, usize, f64)> = batch
            .chunk_by(|a, b| a.policy == b.policy)
            .map(|of| {
                let length = of.iter().map(|sequence| sequence.scored.len()).sum();
                (of[0].policy, length, tokens[&of[0].policy] as f64)
            })
            .collect();
        let told = told.clone();
        let loss: LossFn = Box::new(move |outputs| {
            let mut total = Tensor::from(0.0_f32).to_device(outputs.logprobs.device());
            let mut start = 0;
            for (policy, length, of) in parts {
                let logprobs = outputs.logprobs.narrow(0, start, length as i64);
                start += length as i64;
                let weights = SftWeights::<f32> { token: None, total: Some(of) };
                let part = sft(&logprobs, &vec![true; length], &weights)?;
                // whoever listens may have gone
                let _ = told.send((policy, part.value));
                total += part.loss;
            }
            Ok(total)
        });
        match handle.accumulate(batch, pass, loss).map_err(LearnError::from) {
            Ok(done) => report.rows += done.rows,
            Err(error) if error.is_not_finite() => {
                (report.bad_updates, report.stuck) = (1, 1);
                return Ok(report);
            }
            Err(error) => return Err(error),
        }
    }
    drop(told);
    for (policy, loss) in losses {
        *report.loss.entry(policy).or_default() += loss;
    }
    for policy in tokens.into_keys() {
        let update = handle.update(policy)?;
        report.grad_norm.insert(policy, update.grad_norm);
        report.learning_rate = update.lr;
        report.bad_updates += u32::from(!update.applied);
    }
    report.stuck = report.bad_updates.min(1);
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call that fails, what is said of it, the call mended, its result, and the answer.
    #[test]
    fn a_failed_call_stays_in_sight_and_is_not_learnt() {
        let text = Text::bytes().unwrap();
        let mut segment = Segment::default();
        let call = |expression: &str| {
            format!(
                "I try.<tool_call>{{\"name\": \"calculator\", \"arguments\": {{\"expression\": \"{expression}\"}}}}</tool_call>"
            )
        };
        let said = [call("x"), call("2"), "It is 2.".to_owned()];
        let shown = ["Add.", "`x` is no arithmetic", "2"];
        for (shown, said) in shown.iter().zip(&said) {
            segment.observe(0, &text.encode(shown).unwrap());
            segment.demonstrate(0, &text.encode(said).unwrap());
        }
        let pattern = Regex::new("is no arithmetic").unwrap();
        let learnt = |mask| {
            let kept = Errors { text: &text, pattern: &pattern, mask }.kept(&segment).unwrap();
            text.decode(&kept.iter().map(|at| segment.ids[*at as usize]).collect::<Vec<_>>())
        };
        assert_eq!(learnt(ErrorMask::Off), said.concat());
        assert_eq!(learnt(ErrorMask::Turn), said[1..].concat());
        assert_eq!(learnt(ErrorMask::Action), format!("I try.{}", said[1..].concat()));
    }
}
