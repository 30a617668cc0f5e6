//! A segment: one token sequence that a policy saw and continued, verbatim.
//!
//! An agent whose context only grows has one segment an episode; an agent whose context is replaced starts a new one each
//! time. Ids are stored once; what holds for runs of tokens is stored per run.

use serde::{Deserialize, Serialize};

/// A token sequence of one agent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Segment {
    /// The agent's label.
    pub agent: String,
    /// The policy that continued it.
    pub policy: String,
    /// Every token, prompts and actions, in order.
    pub ids: Vec<u32>,
    /// Runs of tokens, in order, without gaps: their lengths sum to that of `ids`.
    pub spans: Vec<Span>,
    /// Log-probability, under the distribution it was drawn from, of every token of the sampled spans, in order; of an answer that
    /// was held to a form, under the policy's own at temperature 1.
    pub logprobs: Vec<f32>,
}

/// A run of tokens of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// How many tokens.
    pub length: usize,
    /// Observation or action.
    pub kind: SpanKind,
    /// The turn it belongs to: an index into the episode's turns.
    pub turn: usize,
}

/// What a run of tokens is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanKind {
    /// Rendered text that the agent was shown; never in the loss.
    Observed,
    /// Sampled by the policy.
    Sampled {
        /// How many updates the policy had seen.
        version: u64,
        /// Whether the tokens are trained.
        in_loss: bool,
    },
    /// Written by somebody else into the agent's mouth, as in demonstrations: no log-prob, trained only by supervision.
    Demonstrated,
}

/// In what a segment contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// Spans and ids differ in length.
    #[error("segment of `{agent}`: its spans cover {spans} tokens of {ids}")]
    Length {
        /// The agent.
        agent: String,
        /// Sum of the spans.
        spans: usize,
        /// Tokens there are.
        ids: usize,
    },
    /// A sampled token without its log-prob, or one too many.
    #[error("segment of `{agent}`: {sampled} sampled tokens have {logprobs} log-probs")]
    Logprobs {
        /// The agent.
        agent: String,
        /// Sampled tokens.
        sampled: usize,
        /// Log-probs there are.
        logprobs: usize,
    },
    /// A log-prob above 0 or not a number.
    #[error("segment of `{agent}`: the log-prob of sampled token {at} is {value}")]
    BadLogprob {
        /// The agent.
        agent: String,
        /// Index among the sampled tokens.
        at: usize,
        /// The value, as text.
        value: String,
    },
}

impl Segment {
    /// Appends what the agent is shown.
    pub fn observe(&mut self, turn: usize, ids: &[u32]) {
        self.extend(turn, SpanKind::Observed, ids);
    }

    /// Appends what the policy said, with a log-prob for each token.
    ///
    /// # Panics
    /// `ids` and `logprobs` differ in length.
    pub fn sample(&mut self, turn: usize, version: u64, in_loss: bool, ids: &[u32], logprobs: &[f32]) {
        assert_eq!(ids.len(), logprobs.len(), "every sampled token has the log-prob it was drawn with");
        self.extend(turn, SpanKind::Sampled { version, in_loss }, ids);
        self.logprobs.extend(logprobs);
    }

    /// Appends what a demonstration says.
    pub fn demonstrate(&mut self, turn: usize, ids: &[u32]) {
        self.extend(turn, SpanKind::Demonstrated, ids);
    }

    fn extend(&mut self, turn: usize, kind: SpanKind, ids: &[u32]) {
        self.ids.extend(ids);
        self.spans.push(Span { length: ids.len(), kind, turn });
    }

    /// The spans with the position of their first token.
    pub fn placed(&self) -> impl Iterator<Item = (usize, &Span)> {
        self.spans.iter().scan(0, |at, span| {
            let start = *at;
            *at += span.length;
            Some((start, span))
        })
    }

    /// How many tokens were sampled.
    pub fn sampled(&self) -> usize {
        self.spans.iter().filter(|span| matches!(span.kind, SpanKind::Sampled { .. })).map(|span| span.length).sum()
    }

    /// Checks that lengths agree and log-probs are ones.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn validate(&self) -> Result<(), SegmentError> {
        let agent = || self.agent.clone();
        let spans = self.spans.iter().try_fold(0_usize, |sum, span| sum.checked_add(span.length)).unwrap_or(usize::MAX);
        if spans != self.ids.len() {
            return Err(SegmentError::Length { agent: agent(), spans, ids: self.ids.len() });
        }
        let sampled = self.sampled();
        if sampled != self.logprobs.len() {
            return Err(SegmentError::Logprobs { agent: agent(), sampled, logprobs: self.logprobs.len() });
        }
        // rounding may lift a sure token a little above 0
        if let Some(at) = self.logprobs.iter().position(|logprob| !(*logprob <= 1e-3 && logprob.is_finite())) {
            return Err(SegmentError::BadLogprob { agent: agent(), at, value: self.logprobs[at].to_string() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment() -> Segment {
        let mut segment = Segment { agent: "actor".to_owned(), policy: "p".to_owned(), ..Segment::default() };
        segment.observe(0, &[1, 2, 3]);
        segment.sample(0, 4, true, &[5, 6], &[-0.5, -1.0]);
        segment.observe(2, &[7]);
        segment.sample(2, 4, true, &[], &[]);
        segment
    }

    #[test]
    fn spans_are_placed_one_after_another() {
        let segment = segment();
        segment.validate().unwrap();
        assert_eq!(segment.placed().map(|(start, _)| start).collect::<Vec<_>>(), [0, 3, 5, 6]);
        assert_eq!(segment.sampled(), 2);
    }

    #[test]
    fn contradictions_are_found() {
        let mut short = segment();
        short.ids.pop();
        assert!(matches!(short.validate(), Err(SegmentError::Length { spans: 6, ids: 5, .. })));
        let mut bare = segment();
        bare.logprobs.pop();
        assert!(matches!(bare.validate(), Err(SegmentError::Logprobs { sampled: 2, logprobs: 1, .. })));
        let mut nan = segment();
        nan.logprobs[1] = f32::NAN;
        assert!(matches!(nan.validate(), Err(SegmentError::BadLogprob { at: 1, .. })));
        let mut vast = segment();
        vast.spans[0].length = usize::MAX;
        assert!(vast.validate().is_err());
    }
}
