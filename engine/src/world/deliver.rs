//! Deliver: hands answers to the readiness rule and writes them down.

use bevy_ecs::prelude::*;
use bevy_ecs::system::SystemParam;
use marft_topologies::turns::{Ask, EndReason, Event, Fault};

use super::away::Errand;
use super::components::{Edge, Episode, Next, Play, Policy, Source, Turn, Waiting};
use super::resources::{
    Acted, Answered, Counters, Ended, Expired, ForTools, ForVoices, Returned, Rules, Stirred, Voices,
};
use super::speak::{self, After};
use crate::episode::FaultKind;
use crate::voice::VoiceFault;

/// Where what an episode does next is told.
#[derive(SystemParam)]
pub(super) struct Queues<'w> {
    pub(super) stirred: ResMut<'w, Stirred>,
    pub(super) acted: ResMut<'w, Acted>,
    pub(super) ended: ResMut<'w, Ended>,
}

pub(super) fn deliver(
    mut commands: Commands<'_, '_>,
    rules: Res<'_, Rules>,
    voices: Res<'_, Voices>,
    mut counters: ResMut<'_, Counters>,
    (mut answered, mut expired, mut returned): (ResMut<'_, Answered>, ResMut<'_, Expired>, ResMut<'_, Returned>),
    (mut for_voices, mut for_tools): (ResMut<'_, ForVoices>, ResMut<'_, ForTools>),
    mut queues: Queues<'_>,
    mut turns: Query<'_, '_, &mut Turn>,
    away: Query<'_, '_, (), (With<Errand>, With<Waiting>)>,
    mut episodes: Query<'_, '_, &mut Episode>,
    mut policies: Query<'_, '_, &mut Policy>,
    mut edges: Query<'_, '_, &mut Edge>,
) {
    for answer in answered.0.drain(..) {
        let Some(entity) = Entity::try_from_bits(answer.ticket.0) else { continue };
        let Ok(mut turn) = turns.get_mut(entity) else { continue };
        let Ok(mut episode) = episodes.get_mut(turn.episode) else { continue };
        let (turn, play) = (&mut *turn, &mut **episode);
        if play.out.iter().all(|(id, _)| *id != turn.turn.id) {
            // withdrawn by another answer of this tick
            continue;
        }
        match answer.outcome {
            Err(fault) if fault.transient && turn.failures < voices.retries => {
                note(play, turn, &fault.message, true);
                turn.failures += 1;
                let tool = matches!(turn.next, Next::Calls(_)) || matches!(turn.turn.ask, Ask::Tool { .. });
                if tool { &mut for_tools.0 } else { &mut for_voices.0 }.push(entity);
                continue;
            }
            Err(fault) => fail(play, turn, &fault),
            Ok(words) => {
                if turn.source == Source::Live {
                    counters.tokens += words.ids.len() as u64;
                }
                match speak::take(play, turn, words, &rules) {
                    Ok(After::Voice) => {
                        for_voices.0.push(entity);
                        continue;
                    }
                    Ok(After::Tool) => {
                        for_tools.0.push(entity);
                        continue;
                    }
                    Ok(After::Done) => {
                        counters.turns += 1;
                        count(play, turn, &rules, &mut policies, &mut edges);
                    }
                    Err(fault) => fail(play, turn, &fault),
                }
            }
        }
        settled(&mut commands, entity, turn, play, &mut queues);
    }
    for entity in expired.0.drain(..) {
        if away.contains(entity) {
            commands.entity(entity).remove::<Waiting>();
            returned.0.push(entity);
            continue;
        }
        let Ok(mut turn) = turns.get_mut(entity) else { continue };
        let Ok(mut episode) = episodes.get_mut(turn.episode) else { continue };
        let (turn, play) = (&mut *turn, &mut **episode);
        if play.out.iter().all(|(id, _)| *id != turn.turn.id) {
            continue;
        }
        let limit = voices.patience.unwrap_or_default().as_secs_f64();
        turn.broke = FaultKind::Deadline;
        fail(play, turn, &VoiceFault { message: format!("the turn took longer than {limit} s"), transient: false });
        commands.entity(entity).remove::<Waiting>();
        settled(&mut commands, entity, turn, play, &mut queues);
    }
}

/// The turn broke, and with it the episode.
fn fail(play: &mut Play, turn: &Turn, fault: &VoiceFault) {
    note(play, turn, &fault.message, false);
    // a turn withdrawn meanwhile needs no fault
    play.turns.failed(turn.turn.id, &Fault(fault.message.clone())).ok();
}

fn note(play: &mut Play, turn: &Turn, message: &str, recovered: bool) {
    let tool = matches!(turn.next, Next::Calls(_)) || matches!(turn.turn.ask, Ask::Tool { .. });
    let kind = if tool && turn.broke == FaultKind::Policy { FaultKind::Tool } else { turn.broke };
    play.draft.fault(kind, turn.place, message.to_owned(), recovered);
}

/// Counts a turn with its policy and with the edges that delivered to it.
fn count(
    play: &Play,
    turn: &Turn,
    rules: &Rules,
    policies: &mut Query<'_, '_, &mut Policy>,
    edges: &mut Query<'_, '_, &mut Edge>,
) {
    let policy = rules.node(turn.turn.node).policy.and_then(|policy| rules.policies.get(policy));
    if let Some(mut policy) = policy.and_then(|policy| policies.get_mut(*policy).ok()) {
        policy.turns += 1;
    }
    for heard in play.turns.heard(turn.turn.id) {
        if let Some(mut edge) = rules.edges.get(heard.edge.index()).and_then(|edge| edges.get_mut(*edge).ok()) {
            edge.delivered += 1;
        }
    }
}

/// A turn is done: takes it out of the world, and says what its episode does next.
fn settled(commands: &mut Commands<'_, '_>, entity: Entity, turn: &Turn, play: &mut Play, queues: &mut Queues<'_>) {
    play.back(turn.turn.id);
    commands.entity(entity).despawn();
    if let (Some(place), Some(since)) = (turn.place, turn.since) {
        play.draft.turns[place].seconds = since.elapsed().as_secs_f32();
    }
    for event in play.turns.take_events() {
        match event {
            Event::Withdrawn { turns } => {
                for id in turns {
                    if let Some(entity) = play.back(id) {
                        commands.entity(entity).try_despawn();
                    }
                }
            }
            event => {
                if let Some(notes) = &mut play.notes {
                    notes.apply(event);
                }
            }
        }
    }
    go_on(turn.episode, play, queues);
}

/// Says what an episode does next.
pub(super) fn go_on(entity: Entity, play: &mut Play, queues: &mut Queues<'_>) {
    match play.turns.ended() {
        None => queues.stirred.0.push(entity),
        Some(_) if play.closing => {}
        Some(reason) if EndReason::is_complete(reason) => {
            play.closing = true;
            queues.acted.0.push(entity);
        }
        Some(_) => {
            play.closing = true;
            queues.ended.0.push(entity);
        }
    }
}
