//! Score: judges episodes that ended, writes their records, and takes them out of the world.

use std::borrow::Cow;
use std::sync::Arc;

use bevy_ecs::error::BevyError;
use bevy_ecs::prelude::*;
use marft_topologies::Team;
use marft_topologies::turns::{EndReason, Message};

use super::away::{Away, Errand};
use super::components::{Episode, Play};
use super::memory;
use super::resources::{Closed, Counters, Ended, Judge, Rules, Voices};
use crate::episode::{
    self, EpisodeRecord, FORMAT, FaultKind, FaultRecord, RewardStreams, Segment, SpanKind, TermRecord, TurnRecord,
};
use crate::reward::{Attach, Composite, Evidence, RewardFault, Spoken, Tally, TermScore, TermSpec, ends};

pub(super) fn score(
    mut commands: Commands<'_, '_>,
    rules: Res<'_, Rules>,
    judge: Res<'_, Judge>,
    mut away: Away<'_, '_>,
    mut ended: ResMut<'_, Ended>,
    mut closed: ResMut<'_, Closed>,
    mut counters: ResMut<'_, Counters>,
    mut episodes: Query<'_, '_, &mut Episode>,
) -> Result<(), BevyError> {
    let blocking = judge.0.blocking();
    for entity in ended.0.drain(..) {
        let Ok(mut episode) = episodes.get_mut(entity) else { continue };
        let play = &mut **episode;
        if blocking
            && play.tally.is_none()
            && !is_broken(play, &play.draft.faults)
            && let Some(environment) = play.environment.take()
        {
            let transcript = play.turns.transcript();
            let exhibits = exhibits(play, &transcript, &rules, away.voices(), &judge.0);
            let exhibits: Vec<Exhibit<'static>> = exhibits.into_iter().map(Exhibit::into_owned).collect();
            let judge = Arc::clone(&judge.0);
            away.send(environment, move |_| Ok(tally(&judge, &exhibits)), |back| Errand::Judge(entity, back))?;
            continue;
        }
        let record = close(play, &rules, away.voices(), &judge.0);
        for fault in &record.faults {
            if let Some(kind) = FaultKind::from_name(&fault.kind) {
                let count = counters.faults.entry(kind).or_default();
                *if fault.recovered { &mut count.0 } else { &mut count.1 } += 1;
            }
        }
        // what a broken episode wrote is not remembered
        let leaves = record.is_sound().then(|| memory::leave(play.notes.as_deref_mut(), play.turns.run_state()));
        closed.0.push((record, leaves.flatten()));
        counters.open = counters.open.saturating_sub(1);
        commands.entity(entity).despawn();
    }
    Ok(())
}

/// Whether no reward can be given.
fn is_broken(play: &Play, faults: &[FaultRecord]) -> bool {
    let complete = play.turns.ended().is_some_and(EndReason::is_complete);
    !complete || faults.iter().any(|fault| !fault.recovered)
}

fn close(play: &mut Play, rules: &Rules, voices: &Voices, judge: &Composite) -> EpisodeRecord {
    let transcript = play.turns.transcript();
    // judged before the draft is put in order, which it points into
    let judged = match play.tally.take() {
        _ if is_broken(play, &play.draft.faults) => None,
        Some(judged) => Some(judged),
        None => Some(tally(judge, &exhibits(play, &transcript, rules, voices, judge))),
    };
    let (lines, segments, mut faults) = play.draft.close(&rules.nodes);
    let mut said = transcript.iter().peekable();
    // both stand in the order of their keys
    let turns: Vec<TurnRecord> = lines
        .into_iter()
        .map(|(key, mut turn)| {
            while said.next_if(|message| message.key < key).is_some() {}
            if let Some(message) = said.peek().filter(|message| message.key == key) {
                turn.fields = message.fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            }
            turn
        })
        .collect();
    let reward = judged.and_then(|judged| {
        let written = Written { turns: &turns, segments: &segments };
        judged
            .and_then(|tally| streams(play, &written, &transcript, rules.team(), (judge, &tally)))
            .map_err(|fault| {
                let kind = FaultKind::Reward.name().to_owned();
                faults.push(FaultRecord { kind, turn: None, message: fault.to_string(), recovered: false });
            })
            .ok()
    });
    let end = match play.turns.ended() {
        Some(_) if play.truncated => "truncated".into(),
        Some(reason) => reason_name(reason),
        None => "open".into(),
    };
    let (step, task, sample) = (play.step, play.task.id.clone(), play.sample);
    let id = match &play.fork {
        None => format!("{step}-{task}-{sample}"),
        Some(fork) => format!("{}/{}-{sample}", fork.record.id, fork.turn),
    };
    let parent = play.fork.as_ref().map(|fork| episode::Fork { episode: fork.record.id.clone(), turn: fork.turn });
    EpisodeRecord {
        format: FORMAT,
        id,
        step,
        task,
        sample,
        parent,
        segments,
        turns,
        reward,
        faults,
        end,
        dependencies: dependencies(&transcript, rules),
        seconds: play.started.elapsed().as_secs_f64(),
    }
}

fn reason_name(reason: &EndReason) -> Cow<'static, str> {
    let name = match reason {
        EndReason::Rounds => "rounds",
        EndReason::Until => "until",
        EndReason::Fault { .. } => "fault",
        EndReason::Cancelled => "cancelled",
        other => {
            let value = serde_json::to_value(other).unwrap_or_default();
            return value.get("reason").and_then(|name| name.as_str()).unwrap_or("ended").to_owned().into();
        }
    };
    name.into()
}

/// D as the episode used it.
fn dependencies(transcript: &[Arc<Message>], rules: &Rules) -> Vec<(Arc<str>, Arc<str>)> {
    let heard =
        transcript.iter().flat_map(|message| message.heard.iter().map(|heard| (heard.message.node, message.node)));
    let mut pairs: Vec<_> = heard.collect();
    pairs.sort_unstable();
    pairs.dedup();
    let label = |node| Arc::clone(&rules.node(node).label);
    let mut pairs: Vec<_> = pairs.into_iter().map(|(from, to)| (label(from), label(to))).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// What a term looks at.
#[derive(Debug)]
struct Exhibit<'a> {
    answer: Option<Cow<'a, str>>,
    gold: Vec<String>,
    tokens: usize,
    /// The words of the turn and where its tokens end in them, where they are known.
    spoken: Option<(Cow<'a, str>, Vec<usize>)>,
}

impl Exhibit<'_> {
    fn into_owned(self) -> Exhibit<'static> {
        let Self { answer, gold, tokens, spoken } = self;
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Exhibit { answer: answer.map(own), gold, tokens, spoken: spoken.map(|(text, ends)| (own(text), ends)) }
    }
}

/// The agent or function that a term judges, and the field of its words.
fn named(of: &str) -> (&str, Option<&str>) {
    of.split_once('.').map_or((of, None), |(label, field)| (label, Some(field)))
}

/// The words that a term judges, whole.
fn judged<'a>(spec: &TermSpec, play: &'a Play, transcript: &'a [Arc<Message>], team: &Team) -> Option<&'a Message> {
    match &spec.of {
        None => play.turns.output().map(|message| &**message),
        Some(of) => {
            let said = |message: &&Arc<Message>| team.node(message.node).label == named(of).0;
            transcript.iter().rev().find(said).map(|message| &**message)
        }
    }
}

/// What each term looks at.
fn exhibits<'a>(
    play: &'a Play,
    transcript: &'a [Arc<Message>],
    rules: &Rules,
    voices: &Voices,
    judge: &Composite,
) -> Vec<Exhibit<'a>> {
    let exhibit = |spec: &TermSpec| {
        let last = judged(spec, play, transcript, rules.team());
        let answer = last.and_then(|message| match spec.of.as_deref().and_then(|of| named(of).1) {
            None => Some(Cow::Borrowed(&*message.text)),
            Some(field) => message.fields.get(field).filter(|value| !value.is_null()).map(plain),
        });
        let tokens = if spec.of.is_none() { 0 } else { last.map_or(0, |message| message.tokens as usize) };
        let spoken = last.and_then(|message| spoken(play, message, rules, voices));
        Exhibit { answer, gold: play.task.answers(&spec.gold), tokens, spoken }
    };
    judge.terms().iter().map(exhibit).collect()
}

/// A turn's words, with the ends of their tokens; `None` for words that no policy sampled token by token.
fn spoken<'a>(play: &Play, message: &'a Message, rules: &Rules, voices: &Voices) -> Option<(Cow<'a, str>, Vec<usize>)> {
    let voice = &voices.by_policy[rules.node(message.node).policy?];
    let place = play.draft.turns.iter().position(|line| line.key == message.key)?;
    let segment = &play.draft.segments[play.draft.turns[place].segment?];
    let ids = &segment.ids[answer(segment, place)?];
    // asked first of a voice that knows no tokens, this costs nothing
    voice.token_bytes(*ids.first()?)?;
    let bytes = ids.iter().map(|id| voice.token_bytes(*id).unwrap_or_default());
    Some((Cow::Borrowed(&*message.text), ends(&message.text, bytes)?))
}

/// Where the answer stands that a turn ended with: what it sampled last.
fn answer(segment: &Segment, turn: usize) -> Option<std::ops::Range<usize>> {
    let sampled =
        |(_, span): &(usize, &episode::Span)| span.turn == turn && matches!(span.kind, SpanKind::Sampled { .. });
    segment.placed().filter(sampled).last().map(|(start, span)| start..start + span.length)
}

/// Judges.
fn tally(judge: &Composite, exhibits: &[Exhibit<'_>]) -> Result<Tally, RewardFault> {
    let at = |spec: &TermSpec| judge.terms().iter().position(|other| other.name == spec.name).unwrap_or(0);
    judge.judge(|spec| {
        let Exhibit { answer, gold, tokens, spoken } = &exhibits[at(spec)];
        let evidence = Evidence { answer: answer.as_deref(), gold, tokens: *tokens };
        (evidence, spoken.as_ref().map(|(text, ends)| Spoken { text, ends }))
    })
}

/// The turns and segments of a record.
struct Written<'a> {
    turns: &'a [TurnRecord],
    segments: &'a [Segment],
}

impl Written<'_> {
    /// Pays the tokens of a turn's answer.
    fn pay_tokens(&self, message: Option<&Message>, score: &TermScore, streams: &mut RewardStreams) {
        let turn = message.and_then(|message| self.turns.iter().position(|turn| turn.key == message.key.path()));
        let segment = turn.and_then(|turn| self.turns[turn].segment);
        let place =
            turn.zip(segment).and_then(|(turn, segment)| Some((segment, answer(&self.segments[segment], turn)?)));
        for own in &score.tokens {
            match &place {
                Some((segment, range)) => streams.token.push((*segment, range.start + own.token, own.reward)),
                None => streams.episode += own.reward,
            }
        }
    }
}

fn streams(
    play: &Play,
    written: &Written<'_>,
    transcript: &[Arc<Message>],
    team: &Team,
    (judge, tally): (&Composite, &Tally),
) -> Result<RewardStreams, RewardFault> {
    let turns = written.turns;
    let mut of_steps = vec![0.0; play.paid.len()];
    let mut streams = RewardStreams { total: tally.total, ..RewardStreams::default() };
    for (spec, score) in judge.terms().iter().zip(&tally.scores) {
        let term =
            TermRecord { name: spec.name.clone(), raw: score.raw, weighted: score.weighted, attach: score.attach };
        streams.terms.push(term);
        let message = judged(spec, play, transcript, team);
        written.pay_tokens(message, score, &mut streams);
        let agent = spec.of.as_deref().map(|of| named(of).0.to_owned());
        match (score.attach, agent) {
            (Attach::Agent, Some(agent)) => streams.agent.push((agent, score.whole)),
            (Attach::Turn, Some(agent)) => {
                if let Some(last) = turns.iter().rposition(|turn| *turn.agent == *agent) {
                    streams.turn.push((last, score.whole));
                }
            }
            (Attach::Team, _) => {
                // a key begins with its step; where nobody answered, the team is paid at the end
                let said = message.and_then(|message| message.key.path().first().copied());
                let step = said.or_else(|| turns.iter().map(|turn| turn.step).max()).unwrap_or_default() as usize;
                of_steps.resize(of_steps.len().max(step + 1), 0.0);
                of_steps[step] += score.whole;
            }
            _ => streams.episode += score.whole,
        }
    }
    for step in &play.paid {
        let sum: f64 = step.iter().map(|(_, reward)| reward).sum();
        streams.team.push(sum);
        streams.total += sum;
        for (name, reward) in step {
            if !reward.is_finite() {
                return Err(RewardFault::NotFinite { term: name.clone(), value: reward.to_string() });
            }
            let term = TermRecord { name: name.clone(), raw: *reward, weighted: *reward, attach: Attach::Team };
            streams.terms.push(term);
        }
    }
    streams.team.resize(of_steps.len(), 0.0);
    streams.team.iter_mut().zip(of_steps).for_each(|(paid, own)| *paid += own);
    Ok(streams)
}

fn plain(value: &serde_json::Value) -> Cow<'_, str> {
    value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed)
}
