//! Act: renders what the agents of all ready turns see and asks their voices, all of them together; calls tools.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Instant;

use bevy_ecs::error::BevyError;
use bevy_ecs::prelude::*;
use marft_topologies::turns::Ask;
use serde_json::{Map, Value};

use super::components::{Episode, Next, Play, Turn, Waiting};
use super::prompt::{self, Trouble};
use super::repeat;
use super::resources::{Answered, Answers, Beside, Deadlines, ForTools, ForVoices, Rules, Toolbox, Voices};
use crate::episode::FaultKind;
use crate::seed::Seed;
use crate::tool::ToolRequest;
use crate::voice::{Answer, Taken, Ticket, VoiceFault, Words};

pub(super) fn ask(
    mut commands: Commands<'_, '_>,
    rules: Res<'_, Rules>,
    voices: Res<'_, Voices>,
    answers: Res<'_, Answers>,
    mut queue: ResMut<'_, ForVoices>,
    mut answered: ResMut<'_, Answered>,
    mut deadlines: ResMut<'_, Deadlines>,
    mut turns: Query<'_, '_, &mut Turn>,
    mut episodes: Query<'_, '_, &mut Episode>,
) {
    for entity in queue.0.drain(..) {
        let Some((mut turn, mut episode)) = due(entity, &mut turns, &mut episodes, &rules, &mut answered) else {
            continue;
        };
        let (turn, play, ticket) = (&mut *turn, &mut **episode, Ticket(entity.to_bits()));
        let taken = match prompt::question(play, turn, ticket, &rules, &voices) {
            Ok((voice, question)) => voice.ask(question, &answers.sender),
            Err(trouble) => Taken::Now(Answer { ticket, outcome: Err(refuse(turn, trouble)) }),
        };
        take(&mut commands, &mut answered, &mut deadlines, &voices, (entity, turn), taken);
    }
}

pub(super) fn call(
    mut commands: Commands<'_, '_>,
    rules: Res<'_, Rules>,
    voices: Res<'_, Voices>,
    tools: Res<'_, Toolbox>,
    answers: Res<'_, Answers>,
    mut beside: ResMut<'_, Beside>,
    mut queue: ResMut<'_, ForTools>,
    mut answered: ResMut<'_, Answered>,
    mut deadlines: ResMut<'_, Deadlines>,
    mut turns: Query<'_, '_, &mut Turn>,
    mut episodes: Query<'_, '_, &mut Episode>,
) -> Result<(), BevyError> {
    for entity in queue.0.drain(..) {
        let Some((mut turn, mut episode)) = due(entity, &mut turns, &mut episodes, &rules, &mut answered) else {
            continue;
        };
        let (turn, play, ticket) = (&mut *turn, &mut **episode, Ticket(entity.to_bits()));
        let taken = match request(play, turn, &rules) {
            Ok(request) => tools.0.start(request, ticket, &beside.0.handle()?, &answers.sender),
            Err(answer) => Taken::Now(Answer { ticket, outcome: answer }),
        };
        take(&mut commands, &mut answered, &mut deadlines, &voices, (entity, turn), taken);
    }
    Ok(())
}

/// A turn that has to be asked, and its episode; `None` where it was withdrawn meanwhile, or repeats what a record says.
fn due<'q>(
    entity: Entity,
    turns: &'q mut Query<'_, '_, &mut Turn>,
    episodes: &'q mut Query<'_, '_, &mut Episode>,
    rules: &Rules,
    answered: &mut Answered,
) -> Option<(Mut<'q, Turn>, Mut<'q, Episode>)> {
    let mut turn = turns.get_mut(entity).ok()?;
    let mut episode = episodes.get_mut(turn.episode).ok()?;
    if let Some(words) = repeat::words(&mut episode, &mut turn, rules) {
        answered.0.push(Answer { ticket: Ticket(entity.to_bits()), outcome: Ok(words) });
        return None;
    }
    Some((turn, episode))
}

/// Keeps an answer, or what withdraws the question.
fn take(
    commands: &mut Commands<'_, '_>,
    answered: &mut Answered,
    deadlines: &mut Deadlines,
    voices: &Voices,
    (entity, turn): (Entity, &mut Turn),
    taken: Taken,
) {
    match taken {
        Taken::Now(answer) => answered.0.push(answer),
        Taken::Later(cancel) => {
            commands.entity(entity).insert(Waiting(Some(cancel)));
            let since = *turn.since.get_or_insert_with(Instant::now);
            if let (Some(patience), None) = (voices.patience, turn.deadline) {
                let deadline = since + patience;
                turn.deadline = Some(deadline);
                deadlines.0.push(Reverse((deadline, entity)));
            }
        }
    }
}

/// The fault of a question that cannot be asked; a context that is too long is counted as what it is.
fn refuse(turn: &mut Turn, trouble: Trouble) -> VoiceFault {
    match trouble {
        Trouble::Voice(fault) => fault,
        Trouble::TooLong(message) => {
            turn.broke = FaultKind::Context;
            VoiceFault { message, transient: false }
        }
    }
}

/// What a tool is asked: by a function, its rendered arguments; by an agent, what it wrote.
fn request(play: &mut Play, turn: &mut Turn, rules: &Rules) -> Result<ToolRequest, Result<Words, VoiceFault>> {
    let rule = rules.node(turn.turn.node);
    turn.place.get_or_insert_with(|| play.draft.begin(&turn.turn, rule));
    let (tool, arguments) = match (&turn.next, &turn.turn.ask) {
        (Next::Calls(calls), _) => match calls.front() {
            Some(call) => (call.name.clone(), call.arguments.clone()),
            None => return Err(Ok(Words::default())),
        },
        (_, Ask::Tool { tool }) => {
            let shown = prompt::observe(play, turn.turn.id).map_err(Err)?;
            let arguments = shown.arguments.into_iter().map(|(name, text)| (name, Value::from(text)));
            (tool.clone(), arguments.collect::<Map<_, _>>())
        }
        (_, Ask::Words { .. }) => return Err(Ok(Words::default())),
    };
    let seed = seed(play.seed, turn).child("tool", u64::from(turn.calls));
    Ok(ToolRequest { tool, caller: rule.label.to_string(), arguments, task: Arc::clone(&play.task), seed })
}

/// Where the random numbers of a question come from.
pub(super) fn seed(episode: Seed, turn: &Turn) -> Seed {
    let seed = episode.child("turn", turn.turn.key.stream(0));
    let seed = if turn.answers == 0 { seed } else { seed.child("again", u64::from(turn.answers)) };
    seed.child("call", u64::from(turn.failures))
}
