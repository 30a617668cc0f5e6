//! Deliver: hands answers to the readiness rule, writes them down, and steps the environment when the team has acted.

use bevy_ecs::prelude::*;
use marft_agents::generate::FinishReason;
use marft_topologies::turns::{Event, Fault, LogProbs, Said};

use super::components::{Answered, Edge, Ended, Episode, Policy, Ready, SpeaksIn, Stirred, Turn};
use super::draft::Context;
use super::resources::{Counters, Rules, Voices};
use crate::environment::Standing;
use crate::episode::FaultRecord;
use crate::voice::{Line, VoiceFault, Words};

pub(super) fn deliver(
    mut commands: Commands<'_, '_>,
    rules: Res<'_, Rules>,
    voices: Res<'_, Voices>,
    mut counters: ResMut<'_, Counters>,
    mut answered: Query<'_, '_, (Entity, &mut Turn, &SpeaksIn, &mut Answered)>,
    mut episodes: Query<'_, '_, &mut Episode, Without<Ended>>,
    mut policies: Query<'_, '_, &mut Policy>,
    mut edges: Query<'_, '_, &mut Edge>,
) {
    for (entity, mut turn, SpeaksIn(of), mut answer) in &mut answered {
        let Ok(mut episode) = episodes.get_mut(*of) else { continue };
        let place = episode.draft.place(&turn.turn, &rules.team().node(turn.turn.node).label);
        let outcome = std::mem::replace(&mut answer.0.outcome, Ok(Words::default()));
        match outcome {
            Err(fault) if fault.transient && turn.failures < voices.retries => {
                note_fault(&mut episode, place, &fault, true);
                turn.failures += 1;
                commands.entity(entity).remove::<Answered>().insert(Ready);
                continue;
            }
            Err(fault) => {
                note_fault(&mut episode, place, &fault, false);
                // a turn withdrawn meanwhile needs no fault
                episode.turns.failed(turn.turn.id, &Fault(fault.message)).ok();
            }
            Ok(words) => {
                counters.turns += 1;
                counters.tokens += words.ids.len() as u64;
                if let Some(agent) = rules.team().node(turn.turn.node).agent()
                    && let Some(mut policy) =
                        rules.policies.get(agent.policy.index()).and_then(|p| policies.get_mut(*p).ok())
                {
                    policy.turns += 1;
                }
                for heard in episode.turns.heard(turn.turn.id) {
                    if let Some(mut edge) = rules.edges.get(heard.edge.index()).and_then(|e| edges.get_mut(*e).ok()) {
                        edge.delivered += 1;
                    }
                }
                speak(&mut episode, &turn, place, words, &rules);
            }
        }
        episode.out.remove(&turn.turn.id);
        commands.entity(entity).despawn();
        for event in episode.turns.take_events() {
            if let Event::Withdrawn { turns } = event {
                for id in turns {
                    if let Some(entity) = episode.out.remove(&id) {
                        commands.entity(entity).try_despawn();
                    }
                }
            }
        }
        if episode.turns.ended().is_some() {
            if act_upon_environment(&mut episode, &rules) {
                commands.entity(*of).insert(Stirred);
            } else {
                commands.entity(*of).insert(Ended);
            }
        } else {
            commands.entity(*of).insert(Stirred);
        }
    }
}

fn note_fault(episode: &mut Episode, place: usize, fault: &VoiceFault, recovered: bool) {
    let message = fault.message.clone();
    episode.draft.faults.push(FaultRecord { kind: "policy".to_owned(), turn: Some(place), message, recovered });
}

/// Writes the words down and hands them to the readiness rule.
fn speak(episode: &mut Episode, turn: &Turn, place: usize, words: Words, rules: &Rules) {
    let in_loss = rules.team().node(turn.turn.node).agent().is_some_and(|agent| agent.trainable);
    let logprobs = (!words.logprobs.is_empty()).then(|| {
        let of = words.logprobs.iter().map(|logprob| f64::from(*logprob));
        let mean = of.clone().sum::<f64>() / words.logprobs.len() as f64;
        LogProbs { mean, min: of.fold(0.0, f64::min), last: mean }
    });
    let ended = matches!(words.finish, Some(FinishReason::StopId(_)));
    let context = episode.draft.contexts.remove(&turn.turn.id);
    let segment = match context {
        Some(Context::Tokens { segment, .. }) => {
            episode.draft.segments[segment].sample(place, words.version, in_loss, &words.ids, &words.logprobs);
            episode.draft.contexts.insert(turn.turn.id, Context::Tokens { segment, ended });
            Some(segment)
        }
        Some(Context::Words(mut lines)) => {
            lines.push(Line { role: "assistant", text: words.text.clone() });
            episode.draft.contexts.insert(turn.turn.id, Context::Words(lines));
            None
        }
        None => None,
    };
    episode.draft.entropy += words.entropy;
    let record = &mut episode.draft.turns[place].1;
    record.text.clone_from(&words.text);
    record.segment = segment;
    record.tokens = words.ids.len();
    record.cached = words.cached;
    let finish = match words.finish {
        None => "complete",
        Some(FinishReason::StopId(_)) => "stop_id",
        Some(FinishReason::StopString(_)) => "stop_string",
        Some(FinishReason::MaxTokens) => "max_tokens",
        Some(FinishReason::ContextFull) => "context_full",
    };
    finish.clone_into(&mut record.finish);
    let tokens = u32::try_from(words.ids.len()).unwrap_or(u32::MAX);
    let said = Said { text: words.text, tokens, calls: 1, cost: 0.0, logprobs };
    // a turn withdrawn meanwhile has nobody to speak to
    episode.turns.spoke(turn.turn.id, said).ok();
}

/// The team has acted. True when the environment opened another step.
fn act_upon_environment(episode: &mut Episode, rules: &Rules) -> bool {
    if !episode.turns.ended().is_some_and(marft_topologies::turns::EndReason::is_complete) {
        return false;
    }
    let output = episode.turns.output().cloned();
    match episode.environment.step(output.as_deref()) {
        Ok(outcome) => {
            episode.paid.push(outcome.rewards);
            match outcome.standing {
                Standing::Open(scene) => {
                    let own = super::engine::own_observations(rules.team(), scene.own);
                    episode.turns.next_step(scene.shared, own);
                    true
                }
                Standing::Done { .. } => false,
                Standing::Truncated => {
                    episode.truncated = true;
                    false
                }
            }
        }
        Err(fault) => {
            let message = fault.to_string();
            let record = FaultRecord { kind: "environment".to_owned(), turn: None, message, recovered: false };
            episode.draft.faults.push(record);
            false
        }
    }
}
