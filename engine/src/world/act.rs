//! Act: renders what the agents of all ready turns see and asks their voices, all of them together.

use std::sync::Arc;

use bevy_ecs::error::BevyError;
use bevy_ecs::prelude::*;
use marft_topologies::team::Sampling;
use marft_topologies::turns::{Ask, Observation};

use super::components::{Answered, Episode, Ready, SpeaksIn, Turn, Waiting};
use super::draft::Context;
use super::resources::{Answers, Counters, Rules, Voices};
use crate::episode::Segment;
use crate::voice::{Answer, Line, Prompt, Question, Taken, Ticket, Voice, VoiceFault};

pub(super) fn act(
    mut commands: Commands<'_, '_>,
    rules: Res<'_, Rules>,
    voices: Res<'_, Voices>,
    answers: Res<'_, Answers>,
    mut counters: ResMut<'_, Counters>,
    ready: Query<'_, '_, (Entity, &Turn, &SpeaksIn), With<Ready>>,
    mut episodes: Query<'_, '_, &mut Episode>,
) -> Result<(), BevyError> {
    for (entity, turn, SpeaksIn(of)) in &ready {
        let ticket = Ticket(entity.to_bits());
        let mut episode = episodes.get_mut(*of)?;
        let node = rules.team().node(turn.turn.node);
        let question = match (&turn.turn.ask, node.agent()) {
            (Ask::Words { sampling, .. }, Some(agent)) => {
                let voice = &voices.voices[agent.policy.index()];
                let seed = episode.seed.child("turn", turn.turn.key.stream(0)).child("call", u64::from(turn.failures));
                let place = episode.draft.place(&turn.turn, &node.label);
                let policy = &rules.team().policy(agent.policy).name;
                prompt(&mut episode, turn, place, policy, voice.as_ref()).map(|prompt| {
                    let mut sampling: Sampling = sampling.clone();
                    if let Some(temperature) = episode.temperature {
                        sampling.temperature = temperature;
                    }
                    let (agent, task) = (node.label.clone(), Arc::clone(&episode.task));
                    let turn = episode.draft.earlier(place);
                    (voice, Question { ticket, agent, prompt, sampling, seed, task, turn })
                })
            }
            (Ask::Words { .. }, None) => Err(fault("a turn of words without an agent")),
            (Ask::Tool { tool }, _) => Err(fault(&format!("no tool called `{tool}` is connected"))),
        };
        let mut turn_entity = commands.entity(entity);
        turn_entity.remove::<Ready>();
        let taken = match question {
            Ok((voice, question)) => voice.ask(question, &answers.sender),
            Err(fault) => Taken::Now(Answer { ticket, outcome: Err(fault) }),
        };
        match taken {
            Taken::Now(answer) => {
                turn_entity.insert(Answered(answer));
            }
            Taken::Later(cancel) => {
                counters.waiting += 1;
                turn_entity.insert(Waiting(Some(cancel)));
            }
        }
    }
    Ok(())
}

fn fault(message: &str) -> VoiceFault {
    VoiceFault { message: message.to_owned(), transient: false }
}

/// What the agent is shown, appended to what it has seen where it continues a conversation. Text is rendered and tokenised
/// once: everything before stays as it is, ids verbatim.
fn prompt(
    episode: &mut Episode,
    turn: &Turn,
    place: usize,
    policy: &str,
    voice: &dyn Voice,
) -> Result<Prompt, VoiceFault> {
    let id = turn.turn.id;
    if turn.failures > 0
        && let Some(context) = episode.draft.contexts.get(&id)
    {
        // asked again after a fault: the same prompt
        return Ok(as_prompt(episode, context));
    }
    // what is remembered between episodes lives outside the world for now: `()` remembers nothing
    let shown = episode.turns.observation(id, &()).map_err(|error| fault(&error.to_string()))?;
    let before = shown.continues.and_then(|earlier| episode.draft.contexts.get(&earlier).cloned());
    let context = match before {
        Some(Context::Tokens { segment, ended }) => {
            let ids = voice.follow_up(&shown.user, ended)?;
            episode.draft.segments[segment].observe(place, &ids);
            Context::Tokens { segment, ended: false }
        }
        Some(Context::Words(mut lines)) => {
            lines.push(Line { role: "user", text: shown.user });
            Context::Words(lines)
        }
        None => open(episode, &shown, place, policy, voice)?,
    };
    let prompt = as_prompt(episode, &context);
    episode.draft.contexts.insert(id, context);
    Ok(prompt)
}

fn open(
    episode: &mut Episode,
    shown: &Observation,
    place: usize,
    policy: &str,
    voice: &dyn Voice,
) -> Result<Context, VoiceFault> {
    let mut lines = vec![];
    if !shown.system.is_empty() {
        lines.push(Line { role: "system", text: shown.system.clone() });
    }
    lines.push(Line { role: "user", text: shown.user.clone() });
    match voice.open(&lines) {
        None => Ok(Context::Words(lines)),
        Some(ids) => {
            let agent = episode.draft.turns[place].1.agent.clone();
            let mut segment = Segment { agent, policy: policy.to_owned(), ..Segment::default() };
            segment.observe(place, &ids?);
            episode.draft.segments.push(segment);
            Ok(Context::Tokens { segment: episode.draft.segments.len() - 1, ended: false })
        }
    }
}

fn as_prompt(episode: &Episode, context: &Context) -> Prompt {
    match context {
        Context::Tokens { segment, .. } => Prompt::Tokens(episode.draft.segments[*segment].ids.clone()),
        Context::Words(lines) => Prompt::Words(lines.clone()),
    }
}
