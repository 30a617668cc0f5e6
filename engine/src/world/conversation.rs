//! Conversations: what an agent was shown and said, from which its next prompt grows.
//!
//! Text is rendered and tokenised once: whatever stands in a context stays as it is, ids verbatim. A context that outgrows
//! the voice's window is refused, or starts anew in a segment of its own, and the record says so; nothing is ever cut in
//! silence.

use std::ops::Range;

use super::draft::Draft;
use crate::episode::{Segment, SpanKind};
use crate::settings::LongContext;
use crate::voice::{Line, Prompt, Voice, VoiceFault};

/// What an agent whose conversation has grown too long is asked.
const SUMMARISE: &str = "This conversation has become too long to go on. Sum it up for yourself: keep every fact, decision \
                         and open question that you still need, and nothing else.";

/// What stands before a summary.
const SUMMARY: &str = "Your summary of the conversation so far:";

/// A conversation of one agent.
#[derive(Debug, Clone)]
pub(super) struct Conversation {
    form: Form,
    system: String,
    /// Its turns, oldest first; kept where they may have to be left out.
    turns: Vec<Exchange>,
}

#[derive(Debug, Clone)]
enum Form {
    /// Tokens: the first `length` of a segment. `ended` says that the last words ended with an end of turn.
    Tokens { segment: usize, length: usize, ended: bool },
    /// Messages.
    Words(Vec<Line>),
}

/// One turn of a conversation.
#[derive(Debug, Clone)]
struct Exchange {
    shown: String,
    /// Whether it belongs to the turn before, as results of tools do: it never becomes the oldest on its own.
    within: bool,
    /// What was said, within the segment.
    said: Range<usize>,
}

/// Who asks, and by what rules.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) voice: &'a dyn Voice,
    pub(super) place: usize,
    pub(super) agent: &'a str,
    pub(super) policy: &'a str,
    /// Longest prompt in tokens: the window without what may be sampled.
    pub(super) limit: Option<usize>,
    pub(super) long_context: LongContext,
}

/// A prompt, or why there is none.
pub(super) enum Grown {
    /// Ask this.
    Ready(Conversation),
    /// Ask for a summary first.
    Summarise(Conversation),
}

/// Why a prompt could not be made.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The voice cannot make one.
    Voice(VoiceFault),
    /// It would be too long.
    TooLong(String),
}

impl From<VoiceFault> for Refusal {
    fn from(fault: VoiceFault) -> Self {
        Self::Voice(fault)
    }
}

impl Conversation {
    /// Starts a conversation.
    pub(super) fn open(asker: Asker<'_>, draft: &mut Draft, system: String, shown: String) -> Result<Self, Refusal> {
        let lines = opening(system, shown);
        let Some(ids) = asker.voice.open(&lines) else {
            return Ok(Self { form: Form::Words(lines), system: String::new(), turns: vec![] });
        };
        let ids = ids?;
        asker.fits(ids.len(), || "a prompt".to_owned())?;
        let form = asker.begin(draft, &ids);
        let [.., shown] = lines.as_slice() else { return Ok(Self { form, system: String::new(), turns: vec![] }) };
        let turns = asker.exchange(&shown.text, ids.len());
        let system = if turns.is_empty() { "" } else { system_of(&lines) };
        Ok(Self { form, system: system.to_owned(), turns })
    }

    /// Goes on with what is shown now.
    ///
    /// # Errors
    /// It is too long, and may not be shortened or cannot be shortened enough.
    pub(super) fn grow(
        mut self,
        asker: Asker<'_>,
        draft: &mut Draft,
        shown: &str,
        within: bool,
    ) -> Result<Grown, Refusal> {
        let (segment, length, ended) = match &mut self.form {
            Form::Words(lines) => {
                lines.push(Line { role: "user", text: shown.to_owned() });
                return Ok(Grown::Ready(self));
            }
            Form::Tokens { segment, length, ended } => (*segment, *length, *ended),
        };
        let more = asker.voice.follow_up(shown, ended)?;
        let whole = length + more.len();
        if asker.limit.is_none_or(|limit| whole <= limit) {
            self.extend(asker, draft, &more);
            let turns = asker.exchange(shown, length + more.len()).into_iter();
            self.turns.extend(turns.map(|turn| Exchange { within, ..turn }));
            return Ok(Grown::Ready(self));
        }
        match asker.long_context {
            LongContext::Refuse => {
                asker.fits(whole, || format!("the conversation after {} turns", self.turns.len()))?;
                Ok(Grown::Ready(self))
            }
            LongContext::TruncateOldest => {
                let before = draft.segments[segment].ids[..length].to_vec();
                self.truncate(asker, draft, &before, &more, shown).map(Grown::Ready)
            }
            LongContext::Summarise => {
                asker.note(draft, format!("its {} turns are summed up", self.turns.len()));
                let before = draft.segments[segment].ids[..length].to_vec();
                let request = asker.voice.follow_up(SUMMARISE, ended)?;
                // the summary is asked for in a segment of its own; where not even that fits, the oldest turns go first
                let summing = if asker.limit.is_none_or(|limit| before.len() + request.len() <= limit) {
                    let ids = [before, request].concat();
                    Self { form: asker.begin(draft, &ids), system: self.system, turns: vec![] }
                } else {
                    self.truncate(asker, draft, &before, &request, SUMMARISE)?
                };
                Ok(Grown::Summarise(summing))
            }
        }
    }

    /// Starts anew with a summary in the place of everything before.
    pub(super) fn resume(
        asker: Asker<'_>,
        draft: &mut Draft,
        (system, summary, shown): (&str, &str, &str),
    ) -> Result<Self, Refusal> {
        Self::open(asker, draft, system.to_owned(), format!("{SUMMARY}\n{summary}\n\n{shown}"))
    }

    /// Leaves out as few of the oldest turns as possible, whole, and starts a new segment with the rest.
    fn truncate(
        &self,
        asker: Asker<'_>,
        draft: &mut Draft,
        before: &[u32],
        more: &[u32],
        shown: &str,
    ) -> Result<Self, Refusal> {
        for (dropped, first) in self.turns.iter().enumerate().skip(1).filter(|(_, turn)| !turn.within) {
            let opening = asker.opening(&self.system, &first.shown)?;
            let rest = &before[first.said.start..];
            let length = opening.len() + rest.len() + more.len();
            if asker.limit.is_some_and(|limit| length > limit) {
                continue;
            }
            asker.note(draft, format!("left out the oldest {dropped} of {} turns", self.turns.len()));
            let (start, head) = (first.said.start, opening.len());
            let ids = [&opening, rest, more].concat();
            let shifted = self.turns[dropped..].iter().map(|turn| Exchange {
                shown: turn.shown.clone(),
                within: turn.within,
                said: turn.said.start - start + head..turn.said.end - start + head,
            });
            let turns = shifted.chain(asker.exchange(shown, ids.len())).collect();
            return Ok(Self { form: asker.begin(draft, &ids), system: self.system.clone(), turns });
        }
        let ids = asker.opening(&self.system, shown)?;
        asker.fits(ids.len(), || "a prompt without any earlier turn".to_owned())?;
        asker.note(draft, format!("left out all {} earlier turns", self.turns.len()));
        Ok(Self {
            form: asker.begin(draft, &ids),
            system: self.system.clone(),
            turns: asker.exchange(shown, ids.len()),
        })
    }

    fn extend(&mut self, asker: Asker<'_>, draft: &mut Draft, more: &[u32]) {
        let Form::Tokens { segment, length, .. } = &mut self.form else { return };
        if draft.segments[*segment].ids.len() != *length {
            // somebody else went on from here: a branch has a segment of its own
            let shared = draft.segments[*segment].ids[..*length].to_vec();
            draft.segments.push(asker.segment(&shared));
            *segment = draft.segments.len() - 1;
        }
        draft.segments[*segment].observe(asker.place, more);
        *length += more.len();
    }

    /// Writes down what was said, if it was said in tokens; gives the segment.
    ///
    /// # Errors
    /// Tokens without log-probs.
    pub(super) fn say(
        &mut self,
        draft: &mut Draft,
        place: usize,
        kind: SpanKind,
        (text, ids, logprobs): (&str, &[u32], &[f32]),
        stopped: bool,
    ) -> Result<Option<usize>, VoiceFault> {
        match &mut self.form {
            Form::Words(lines) => {
                lines.push(Line { role: "assistant", text: text.to_owned() });
                Ok(None)
            }
            Form::Tokens { segment, length, ended } => {
                if ids.len() != logprobs.len() {
                    let message = format!("the voice gave {} tokens and {} log-probs", ids.len(), logprobs.len());
                    return Err(VoiceFault { message, transient: false });
                }
                let written = &mut draft.segments[*segment];
                match kind {
                    SpanKind::Sampled { version, in_loss } => written.sample(place, version, in_loss, ids, logprobs),
                    SpanKind::Observed => written.observe(place, ids),
                    SpanKind::Demonstrated => written.demonstrate(place, ids),
                }
                if let Some(last) = self.turns.last_mut() {
                    last.said = *length..*length + ids.len();
                }
                *length += ids.len();
                *ended = stopped;
                Ok(Some(*segment))
            }
        }
    }

    /// A conversation whose last turn was repeated from a record.
    pub(super) fn repeated(
        before: Option<Self>,
        (segment, length, said): (usize, usize, Range<usize>),
        (system, shown): (&str, &str),
        ended: bool,
    ) -> Self {
        let mut turns = before.map(|before| before.turns).unwrap_or_default();
        turns.push(Exchange { shown: shown.to_owned(), within: false, said });
        Self { form: Form::Tokens { segment, length, ended }, system: system.to_owned(), turns }
    }

    /// What its voice is asked.
    pub(super) fn prompt(&self, draft: &Draft) -> Prompt {
        match &self.form {
            Form::Tokens { segment, length, .. } => Prompt::Tokens(draft.segments[*segment].ids[..*length].to_vec()),
            Form::Words(lines) => Prompt::Words(lines.clone()),
        }
    }

    /// What its voice is asked, where nobody goes on from it in words.
    pub(super) fn into_prompt(self, draft: &Draft) -> (Prompt, Option<Self>) {
        match self.form {
            Form::Words(lines) => (Prompt::Words(lines), None),
            Form::Tokens { .. } => (self.prompt(draft), Some(self)),
        }
    }

    /// The role it began with.
    pub(super) fn system(&self) -> &str {
        &self.system
    }
}

impl Asker<'_> {
    fn segment(&self, ids: &[u32]) -> Segment {
        let mut segment =
            Segment { agent: self.agent.to_owned(), policy: self.policy.to_owned(), ..Segment::default() };
        segment.observe(self.place, ids);
        segment
    }

    fn begin(&self, draft: &mut Draft, ids: &[u32]) -> Form {
        draft.segments.push(self.segment(ids));
        Form::Tokens { segment: draft.segments.len() - 1, length: ids.len(), ended: false }
    }

    /// The tokens of a fresh context. Only asked of voices that take tokens.
    fn opening(&self, system: &str, shown: &str) -> Result<Vec<u32>, VoiceFault> {
        self.voice.open(&opening(system.to_owned(), shown.to_owned())).unwrap_or_else(|| Ok(vec![]))
    }

    /// What is kept of a turn, where it may have to be left out later.
    fn exchange(&self, shown: &str, at: usize) -> Vec<Exchange> {
        let kept = self.limit.is_some() && self.long_context != LongContext::Refuse;
        kept.then(|| Exchange { shown: shown.to_owned(), within: false, said: at..at }).into_iter().collect()
    }

    fn fits(&self, length: usize, what: impl Fn() -> String) -> Result<(), Refusal> {
        match self.limit {
            Some(limit) if length > limit => Err(Refusal::TooLong(format!(
                "{} of `{}` has {length} tokens, and {limit} fit into the window beside what it may say",
                what(),
                self.agent
            ))),
            _ => Ok(()),
        }
    }

    /// Says in the record what became of a context that was too long.
    fn note(&self, draft: &mut Draft, what: String) {
        let limit = self.limit.unwrap_or_default();
        let message = format!("the conversation of `{}` outgrew {limit} tokens: {what}", self.agent);
        draft.fault(crate::episode::FaultKind::Context, Some(self.place), message, true);
    }
}

fn opening(system: String, shown: String) -> Vec<Line> {
    let mut lines = Vec::with_capacity(2);
    if !system.is_empty() {
        lines.push(Line { role: "system", text: system });
    }
    lines.push(Line { role: "user", text: shown });
    lines
}

fn system_of(lines: &[Line]) -> &str {
    lines.first().filter(|line| line.role == "system").map_or("", |line| &line.text)
}
