//! Prompts: what an agent sees, in the form its voice takes.

use std::sync::Arc;

use marft_topologies::team::Sampling;
use marft_topologies::turns::{Ask, Observation, TurnId};

use super::act;
use super::components::{Next, Play, Turn};
use super::conversation::{Asker, Conversation, Grown, Refusal};
use super::resources::{Rules, Voices};
use crate::voice::{Prompt, Question, Ticket, Voice, VoiceFault};

/// Why a question cannot be asked.
pub(super) use super::conversation::Refusal as Trouble;

/// What the agent of a turn is asked, and who is asked.
pub(super) fn question<'a>(
    play: &mut Play,
    turn: &mut Turn,
    ticket: Ticket,
    rules: &Rules,
    voices: &'a Voices,
) -> Result<(&'a dyn Voice, Question), Trouble> {
    let rule = rules.node(turn.turn.node);
    let (Ask::Words { sampling, .. }, Some(policy)) = (&turn.turn.ask, rule.policy) else {
        return Err(fault("a turn of words without an agent").into());
    };
    let voice = &*voices.by_policy[policy];
    let mut sampling: Sampling = sampling.clone();
    if let Some(temperature) = play.temperature {
        sampling.temperature = temperature;
    }
    let place = *turn.place.get_or_insert_with(|| play.draft.begin(&turn.turn, rule));
    let asker = Asker {
        voice,
        place,
        agent: &rule.label,
        policy: &rules.team().policies()[policy].name,
        limit: voice.window().map(|window| window.saturating_sub(sampling.max_tokens as usize)),
        long_context: rules.long_context,
    };
    let prompt = match (turn.asked, turn.conversation.take()) {
        (true, Some(conversation)) => {
            let prompt = conversation.prompt(&play.draft);
            turn.conversation = Some(conversation);
            prompt
        }
        (_, before) => make(play, turn, asker, before, rule.keeps, &rule.tools)?,
    };
    turn.asked = true;
    // a summary is for the agent itself, which reads it as text
    let form = if matches!(turn.next, Next::Summary { .. }) { None } else { rule.form.clone() };
    let question = Question {
        ticket,
        agent: Arc::clone(&rule.label),
        prompt,
        sampling,
        form,
        tools: Arc::clone(&rule.declared),
        seed: act::seed(play.seed, turn),
        step: play.step,
        task: Arc::clone(&play.task),
        turn: play.draft.turns[place].earlier as usize + if turn.calls == 0 { 0 } else { turn.answers as usize },
    };
    Ok((voice, question))
}

/// What is asked for the first time.
fn make(
    play: &mut Play,
    turn: &mut Turn,
    asker: Asker<'_>,
    before: Option<Conversation>,
    keeps: bool,
    tools: &str,
) -> Result<Prompt, Refusal> {
    let next = std::mem::replace(&mut turn.next, Next::Observe);
    let (system, shown, grown) = match (next, before) {
        (Next::Resume { system, shown, summary }, _) => {
            let resumed = Conversation::resume(asker, &mut play.draft, (&system, &summary, &shown))?;
            (system, shown, Grown::Ready(resumed))
        }
        (Next::Results, Some(before)) => {
            let shown = results(&std::mem::take(&mut turn.results));
            let system = before.system().to_owned();
            let grown = before.grow(asker, &mut play.draft, &shown, true)?;
            (system, shown, grown)
        }
        _ => {
            let mut shown = observe(play, turn.turn.id)?;
            if !tools.is_empty() {
                let gap = if shown.system.is_empty() { "" } else { "\n\n" };
                shown.system.push_str(gap);
                shown.system.push_str(tools);
            }
            let Observation { system, user, continues, .. } = shown;
            let before = continues.and_then(|earlier| play.draft.conversations.get(&earlier).cloned());
            let grown = match before {
                Some(before) => before.grow(asker, &mut play.draft, &user, false)?,
                None if keeps => {
                    Grown::Ready(Conversation::open(asker, &mut play.draft, system.clone(), user.clone())?)
                }
                None => {
                    // nobody goes on from here
                    let opened = Conversation::open(asker, &mut play.draft, system, user)?;
                    let (prompt, conversation) = opened.into_prompt(&play.draft);
                    turn.conversation = conversation;
                    return Ok(prompt);
                }
            };
            (system, user, grown)
        }
    };
    let conversation = match grown {
        Grown::Ready(conversation) => conversation,
        Grown::Summarise(conversation) => {
            turn.next = Next::Summary { system, shown };
            conversation
        }
    };
    let prompt = conversation.prompt(&play.draft);
    turn.conversation = Some(conversation);
    Ok(prompt)
}

/// What a turn is shown.
pub(super) fn observe(play: &Play, turn: TurnId) -> Result<Observation, VoiceFault> {
    let shown = match &play.notes {
        Some(notes) => play.turns.observation(turn, &**notes),
        None => play.turns.observation(turn, &()),
    };
    shown.map_err(|error| fault(&error.to_string()))
}

/// Results of tools as an agent is shown them.
fn results(results: &[Option<String>]) -> String {
    let shown = results.iter().flatten().map(|result| format!("<tool_response>\n{result}\n</tool_response>"));
    shown.collect::<Vec<_>>().join("\n")
}

fn fault(message: &str) -> VoiceFault {
    VoiceFault { message: message.to_owned(), transient: false }
}
