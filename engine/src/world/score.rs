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
use super::resources::{Closed, Counters, Ended, Judge, Rules};
use crate::episode::{self, EpisodeRecord, FaultKind, FaultRecord, RewardStreams, TermRecord, TurnRecord};
use crate::reward::{Attach, Composite, Evidence, RewardFault, Tally, TermSpec};

/// Version of the records.
const FORMAT: u32 = 1;

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
            let exhibits = exhibits(play, &transcript, rules.team(), &judge.0);
            let exhibits: Vec<Exhibit<'static>> = exhibits.into_iter().map(Exhibit::into_owned).collect();
            let judge = Arc::clone(&judge.0);
            away.send(environment, move |_| Ok(tally(&judge, &exhibits)), |back| Errand::Judge(entity, back))?;
            continue;
        }
        let record = close(play, &rules, &judge.0);
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

fn close(play: &mut Play, rules: &Rules, judge: &Composite) -> EpisodeRecord {
    let team = rules.team();
    let (lines, segments, mut faults) = play.draft.close(&rules.nodes);
    let transcript = play.turns.transcript();
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
    let reward = if is_broken(play, &faults) {
        None
    } else {
        streams(play, &turns, &transcript, team, judge)
            .map_err(|fault| {
                let kind = FaultKind::Reward.name().to_owned();
                faults.push(FaultRecord { kind, turn: None, message: fault.to_string(), recovered: false });
            })
            .ok()
    };
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
}

impl Exhibit<'_> {
    fn into_owned(self) -> Exhibit<'static> {
        let Self { answer, gold, tokens } = self;
        Exhibit { answer: answer.map(|text| Cow::Owned(text.into_owned())), gold, tokens }
    }
}

/// What each term looks at.
fn exhibits<'a>(play: &'a Play, transcript: &'a [Arc<Message>], team: &Team, judge: &Composite) -> Vec<Exhibit<'a>> {
    let output = play.turns.output();
    let judged = |spec: &TermSpec| -> (Option<Cow<'a, str>>, usize) {
        let (label, field) = match &spec.of {
            None => return (output.map(|message| Cow::Borrowed(&*message.text)), 0),
            Some(of) => of.split_once('.').map_or((of.as_str(), None), |(label, field)| (label, Some(field))),
        };
        let last = transcript.iter().rev().find(|message| team.node(message.node).label == label);
        let text = last.and_then(|message| match field {
            None => Some(Cow::Borrowed(&*message.text)),
            Some(field) => message.fields.get(field).filter(|value| !value.is_null()).map(plain),
        });
        (text, last.map_or(0, |message| message.tokens as usize))
    };
    let exhibit = |spec: &TermSpec| {
        let (answer, tokens) = judged(spec);
        Exhibit { answer, gold: play.task.answers(&spec.gold), tokens }
    };
    judge.terms().iter().map(exhibit).collect()
}

/// Judges.
fn tally(judge: &Composite, exhibits: &[Exhibit<'_>]) -> Result<Tally, RewardFault> {
    let at = |spec: &TermSpec| judge.terms().iter().position(|other| other.name == spec.name).unwrap_or(0);
    judge.score(|spec| {
        let Exhibit { answer, gold, tokens } = &exhibits[at(spec)];
        Evidence { answer: answer.as_deref(), gold, tokens: *tokens }
    })
}

fn streams(
    play: &mut Play,
    turns: &[TurnRecord],
    transcript: &[Arc<Message>],
    team: &Team,
    judge: &Composite,
) -> Result<RewardStreams, RewardFault> {
    let tally = match play.tally.take() {
        Some(judged) => judged?,
        None => tally(judge, &exhibits(play, transcript, team, judge))?,
    };
    let mut streams = RewardStreams { total: tally.total, ..RewardStreams::default() };
    for (spec, score) in judge.terms().iter().zip(&tally.scores) {
        let term =
            TermRecord { name: spec.name.clone(), raw: score.raw, weighted: score.weighted, attach: score.attach };
        streams.terms.push(term);
        let agent = spec.of.as_deref().map(|of| of.split('.').next().unwrap_or(of).to_owned());
        match (score.attach, agent) {
            (Attach::Agent, Some(agent)) => streams.agent.push((agent, score.weighted)),
            (Attach::Turn, Some(agent)) => {
                if let Some(last) = turns.iter().rposition(|turn| *turn.agent == *agent) {
                    streams.turn.push((last, score.weighted));
                }
            }
            _ => streams.episode += score.weighted,
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
    Ok(streams)
}

fn plain(value: &serde_json::Value) -> Cow<'_, str> {
    value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed)
}
