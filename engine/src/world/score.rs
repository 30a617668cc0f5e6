//! Score: judges episodes that ended, writes their records, and takes them out of the world.

use std::collections::BTreeMap;

use bevy_ecs::prelude::*;
use marft_topologies::Team;

use super::components::{Ended, Episode};
use super::resources::{Closed, Counters, Judge, Rules};
use crate::episode::{EpisodeRecord, FaultRecord, RewardStreams, TermRecord};
use crate::reward::{Attach, Composite, Evidence, RewardFault, TermSpec};

pub(super) fn score(
    mut commands: Commands<'_, '_>,
    rules: Res<'_, Rules>,
    judge: Res<'_, Judge>,
    mut closed: ResMut<'_, Closed>,
    mut counters: ResMut<'_, Counters>,
    mut episodes: Query<'_, '_, (Entity, &mut Episode), With<Ended>>,
) {
    for (entity, mut episode) in &mut episodes {
        closed.0.push(close(&mut episode, rules.team(), &judge.0));
        counters.open = counters.open.saturating_sub(1);
        commands.entity(entity).despawn();
    }
}

fn close(episode: &mut Episode, team: &Team, judge: &Composite) -> EpisodeRecord {
    let mut faults = std::mem::take(&mut episode.draft.faults);
    let complete = episode.turns.ended().is_some_and(marft_topologies::turns::EndReason::is_complete);
    let broken = !complete || faults.iter().any(|fault| !fault.recovered);
    let reward = if broken {
        None
    } else {
        streams(episode, team, judge)
            .map_err(|fault| {
                let record =
                    FaultRecord { kind: "reward".to_owned(), turn: None, message: fault.to_string(), recovered: false };
                faults.push(record);
            })
            .ok()
    };
    let fields: BTreeMap<_, _> =
        episode.turns.transcript().into_iter().map(|message| (message.key.clone(), message)).collect();
    for (key, turn) in &mut episode.draft.turns {
        if let Some(message) = fields.get(key) {
            turn.fields = message.fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        }
    }
    let (turns, segments) = episode.draft.ordered();
    let end = match episode.turns.ended() {
        Some(_) if episode.truncated => "truncated".to_owned(),
        Some(reason) => reason_name(reason),
        None => "open".to_owned(),
    };
    let seconds = episode.started.elapsed().as_secs_f64();
    EpisodeRecord {
        format: 1,
        id: format!("{}-{}-{}", episode.step, episode.task.id, episode.sample),
        step: episode.step,
        task: episode.task.id.clone(),
        sample: episode.sample,
        parent: None,
        segments,
        turns,
        reward,
        faults,
        end,
        dependencies: dependencies(episode, team),
        seconds,
    }
}

fn reason_name(reason: &marft_topologies::turns::EndReason) -> String {
    let value = serde_json::to_value(reason).unwrap_or_default();
    value.get("reason").and_then(|name| name.as_str()).unwrap_or("ended").to_owned()
}

/// D as the episode used it.
fn dependencies(episode: &Episode, team: &Team) -> Vec<(String, String)> {
    let mut pairs = std::collections::BTreeSet::new();
    for message in episode.turns.transcript() {
        for heard in message.heard.iter() {
            pairs.insert((team.node(heard.message.node).label.clone(), team.node(message.node).label.clone()));
        }
    }
    pairs.into_iter().collect()
}

fn streams(episode: &Episode, team: &Team, judge: &Composite) -> Result<RewardStreams, RewardFault> {
    let transcript = episode.turns.transcript();
    let judged = |spec: &TermSpec| -> (Option<String>, usize) {
        let (label, field) = match &spec.of {
            None => return (episode.turns.output().map(|message| message.text.to_string()), 0),
            Some(of) => of.split_once('.').map_or((of.as_str(), None), |(label, field)| (label, Some(field))),
        };
        let last = transcript.iter().rev().find(|message| team.node(message.node).label == label);
        let text = last.and_then(|message| match field {
            None => Some(message.text.to_string()),
            Some(field) => message.fields.get(field).filter(|value| !value.is_null()).map(plain),
        });
        (text, last.map_or(0, |message| message.tokens as usize))
    };
    let texts: Vec<(Option<String>, usize)> = judge.terms().iter().map(judged).collect();
    let golds: Vec<Vec<String>> = judge.terms().iter().map(|spec| episode.task.answers(&spec.gold)).collect();
    let at = |spec: &TermSpec| judge.terms().iter().position(|other| other.name == spec.name).unwrap_or(0);
    let tally = judge.score(|spec| {
        let at = at(spec);
        Evidence { answer: texts[at].0.as_deref(), gold: &golds[at], tokens: texts[at].1 }
    })?;

    let mut streams = RewardStreams { total: tally.total, ..RewardStreams::default() };
    for (spec, score) in judge.terms().iter().zip(&tally.scores) {
        let term =
            TermRecord { name: spec.name.clone(), raw: score.raw, weighted: score.weighted, attach: score.attach };
        streams.terms.push(term);
        let agent = spec.of.as_deref().map(|of| of.split('.').next().unwrap_or(of).to_owned());
        match (score.attach, agent) {
            (Attach::Agent, Some(agent)) => streams.agent.push((agent, score.weighted)),
            (Attach::Turn, Some(agent)) => {
                let last = episode.draft.turns.iter().enumerate().filter(|(_, (_, turn))| turn.agent == agent);
                if let Some((place, _)) = last.max_by(|a, b| a.1.0.cmp(&b.1.0)) {
                    let rank = episode.draft.turns.iter().filter(|turn| turn.0 < episode.draft.turns[place].0).count();
                    streams.turn.push((rank, score.weighted));
                }
            }
            _ => streams.episode += score.weighted,
        }
    }
    for step in &episode.paid {
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

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
