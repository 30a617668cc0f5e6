//! Repeating: turns of an episode that branches off another one are taken from its record, ids verbatim.

use super::components::{Play, Source, Turn};
use super::conversation::Conversation;
use super::opening::Fork;
use super::prompt;
use super::resources::Rules;
use crate::episode::{EpisodeRecord, Segment, SpanKind};
use crate::voice::Words;

/// The words of a turn that nobody is asked for; `None` where the turn is live.
pub(super) fn words(play: &mut Play, turn: &mut Turn, rules: &Rules) -> Option<Words> {
    let fork = play.fork.take()?;
    let words = find(&fork, play, turn, rules);
    play.fork = Some(fork);
    words
}

fn find(fork: &Fork, play: &mut Play, turn: &mut Turn, rules: &Rules) -> Option<Words> {
    if turn.asked {
        return None;
    }
    let rule = rules.node(turn.turn.node);
    let path = turn.turn.key.path();
    // turns of a record stand in the order of their keys
    let rank = fork.record.turns.binary_search_by(|recorded| recorded.key.as_slice().cmp(path)).ok();
    if let Some(rank) = rank.filter(|rank| *rank < fork.turn) {
        let place = *turn.place.get_or_insert_with(|| play.draft.begin(&turn.turn, rule));
        return Some(repeat(&fork.record, rank, play, turn, place, rule.keeps));
    }
    let (_, instead) = fork.instead.iter().find(|(label, _)| **label == *rule.label)?;
    let place = *turn.place.get_or_insert_with(|| play.draft.begin(&turn.turn, rule));
    turn.source = Source::Instead;
    let text = instead.text(play.draft.turns[place].earlier as usize).to_owned();
    Some(Words { text, ..Words::default() })
}

fn repeat(record: &EpisodeRecord, rank: usize, play: &mut Play, turn: &mut Turn, place: usize, keeps: bool) -> Words {
    let said = &record.turns[rank];
    let mut words = Words { text: said.text.clone(), cached: said.cached, ..Words::default() };
    let mut last = 0..0;
    for (at, segment) in record.segments.iter().enumerate() {
        if segment.spans.iter().all(|span| span.turn != rank) {
            continue;
        }
        let target = *play.draft.repeated.entry(at).or_insert_with(|| {
            let (agent, policy) = (segment.agent.clone(), segment.policy.clone());
            play.draft.segments.push(Segment { agent, policy, ..Segment::default() });
            play.draft.segments.len() - 1
        });
        let target = &mut play.draft.segments[target];
        let mut sampled = 0;
        for (start, span) in segment.placed() {
            let ids = &segment.ids[start..start + span.length];
            let logprobs = match span.kind {
                SpanKind::Sampled { .. } => &segment.logprobs[sampled..sampled + span.length],
                SpanKind::Observed | SpanKind::Demonstrated => &[],
            };
            sampled += logprobs.len();
            if span.turn != rank {
                continue;
            }
            match span.kind {
                SpanKind::Observed => target.observe(place, ids),
                SpanKind::Demonstrated => target.demonstrate(place, ids),
                SpanKind::Sampled { version, .. } => {
                    // the parent's record trains it
                    last = target.ids.len()..target.ids.len() + ids.len();
                    target.sample(place, version, false, ids, logprobs);
                    words.version = version;
                    words.ids.extend(ids);
                    words.logprobs.extend(logprobs);
                }
            }
        }
    }
    let segment = said.segment.and_then(|segment| play.draft.repeated.get(&segment).copied());
    turn.source = Source::Repeated { rank, segment };
    if let Some(segment) = segment.filter(|_| keeps) {
        let length = play.draft.segments[segment].ids.len();
        let shown = prompt::observe(play, turn.turn.id).unwrap_or_default();
        let before = shown.continues.and_then(|earlier| play.draft.conversations.get(&earlier).cloned());
        let ended = said.finish == "stop_id";
        let at = (segment, length, last);
        turn.conversation = Some(Conversation::repeated(before, at, (&shown.system, &shown.user), ended));
    }
    words
}
