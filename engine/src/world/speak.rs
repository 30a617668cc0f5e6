//! Speaking: takes what a voice or a tool said, writes it down, and hands a finished turn to the readiness rule.

use std::collections::VecDeque;

use marft_agents::generate::FinishReason;
use marft_agents::parse::{ToolCallParse, find_tool_calls};
use marft_topologies::turns::{Ask, LogProbs, Said};

use super::components::{Next, Play, Source, Turn};
use super::resources::Rules;
use crate::episode::SpanKind;
use crate::voice::{VoiceFault, Words};

/// What a turn does next.
pub(super) enum After {
    /// It asks its voice again.
    Voice,
    /// It calls a tool.
    Tool,
    /// It is done.
    Done,
}

/// Takes an answer.
///
/// # Errors
/// The answer is none that can be written down.
pub(super) fn take(play: &mut Play, turn: &mut Turn, words: Words, rules: &Rules) -> Result<After, VoiceFault> {
    if let Next::Calls(pending) = &mut turn.next {
        pending.pop_front();
        if let Some(due) = turn.results.iter_mut().find(|result| result.is_none()) {
            *due = Some(words.text);
        }
        turn.calls += 1;
        if !pending.is_empty() {
            return Ok(After::Tool);
        }
        turn.next = Next::Results;
        return Ok(After::Voice);
    }
    let segment = write(play, turn, &words, rules)?;
    turn.asked = false;
    turn.failures = 0;
    turn.answers += 1;
    turn.tokens += words.ids.len();
    match std::mem::replace(&mut turn.next, Next::Observe) {
        Next::Summary { system, shown } => {
            turn.conversation = None;
            turn.next = Next::Resume { system, shown, summary: words.text };
            return Ok(After::Voice);
        }
        _ => {
            if let Some(after) = calls(turn, &words, rules) {
                return Ok(after);
            }
        }
    }
    finish(play, turn, words, segment, rules.node(turn.turn.node).keeps);
    Ok(After::Done)
}

/// Writes tokens into their segment, unless they were repeated from one.
fn write(play: &mut Play, turn: &mut Turn, words: &Words, rules: &Rules) -> Result<Option<usize>, VoiceFault> {
    if let Source::Repeated { segment, .. } = turn.source {
        return Ok(segment);
    }
    let (Some(conversation), Some(place)) = (&mut turn.conversation, turn.place) else { return Ok(None) };
    let in_loss = rules.node(turn.turn.node).trainable;
    let stopped = matches!(words.finish, Some(FinishReason::StopId(_)));
    let kind = SpanKind::Sampled { version: words.version, in_loss };
    conversation.say(&mut play.draft, place, kind, (&words.text, &words.ids, &words.logprobs), stopped)
}

/// What an agent that may call tools does with what it wrote; `None` where it has spoken.
fn calls(turn: &mut Turn, words: &Words, rules: &Rules) -> Option<After> {
    let Ask::Words { max_tool_calls, .. } = turn.turn.ask else { return None };
    let left = max_tool_calls.saturating_sub(turn.calls) as usize;
    if left == 0 || turn.source != Source::Live {
        return None;
    }
    let allowed = rules.team().node(turn.turn.node).agent().map(|agent| agent.tools.as_slice()).unwrap_or_default();
    let mut pending = VecDeque::new();
    for (parse, _) in find_tool_calls(&words.text).into_iter().take(left) {
        match parse {
            ToolCallParse::Complete(call) | ToolCallParse::Partial { call: Some(call), .. } => {
                if allowed.contains(&call.name) {
                    pending.push_back(call);
                    turn.results.push(None);
                } else {
                    turn.calls += 1;
                    let known = allowed.join(", ");
                    turn.results.push(Some(format!("there is no tool `{}`; there are: {known}", call.name)));
                }
            }
            ToolCallParse::Invalid { reason, .. } => {
                turn.calls += 1;
                turn.results.push(Some(reason.to_string()));
            }
            ToolCallParse::Partial { call: None, .. } => {}
        }
    }
    if !pending.is_empty() {
        turn.next = Next::Calls(pending);
        return Some(After::Tool);
    }
    if turn.results.is_empty() {
        return None;
    }
    turn.next = Next::Results;
    Some(After::Voice)
}

/// Writes the turn down and hands it to the readiness rule.
fn finish(play: &mut Play, turn: &mut Turn, words: Words, segment: Option<usize>, keeps: bool) {
    let logprobs = (!words.logprobs.is_empty()).then(|| {
        let of = words.logprobs.iter().map(|logprob| f64::from(*logprob));
        let mean = of.clone().sum::<f64>() / words.logprobs.len() as f64;
        LogProbs { mean, min: of.fold(0.0, f64::min), last: mean }
    });
    let tokens = if turn.tokens == 0 { words.usage.unwrap_or_default() as usize } else { turn.tokens };
    if let Some(line) = turn.place.and_then(|place| play.draft.turns.get_mut(place)) {
        line.text.clone_from(&words.text);
        line.segment = segment;
        line.tokens = tokens;
        line.cached = words.cached;
        line.finish = match (turn.source, &words.finish) {
            (Source::Repeated { rank, .. }, _) => play.fork.as_ref().map_or("complete", |fork| recorded(fork, rank)),
            (Source::Instead, _) => "instead",
            (_, None) => "complete",
            (_, Some(FinishReason::StopId(_))) => "stop_id",
            (_, Some(FinishReason::StopString(_))) => "stop_string",
            (_, Some(FinishReason::MaxTokens)) => "max_tokens",
            (_, Some(FinishReason::ContextFull)) => "context_full",
        };
    }
    if let Some(conversation) = turn.conversation.take().filter(|_| keeps) {
        play.draft.conversations.insert(turn.turn.id, conversation);
    }
    let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
    let said = Said { text: words.text, tokens, calls: turn.answers.max(1) + turn.calls, cost: 0.0, logprobs };
    // a turn withdrawn meanwhile has nobody to speak to
    play.turns.spoke(turn.turn.id, said).ok();
}

/// How the turn of a record ended.
fn recorded(fork: &super::opening::Fork, rank: usize) -> &'static str {
    let finish = fork.record.turns.get(rank).map_or("", |turn| &turn.finish);
    ["stop_id", "stop_string", "max_tokens", "context_full", "instead"]
        .into_iter()
        .find(|known| *known == finish)
        .unwrap_or("complete")
}
