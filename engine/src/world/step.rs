//! Stepping: environments act with what the team put out. One that blocks does so on another thread, and its episode goes on
//! when it is back.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Instant;

use bevy_ecs::error::BevyError;
use bevy_ecs::prelude::*;
use crossbeam::channel::{Sender, bounded};
use marft_topologies::Team;
use marft_topologies::team::NodeId;
use marft_topologies::turns::{Message, Task as Shared};
use tokio::runtime::Handle;

use super::begin::{self, Fresh};
use super::components::{Episode, Play, Shown, Stepped, Stepping, Then, Waiting};
use super::deliver::{Queues, go_on};
use super::opening::Beginning;
use super::resources::{Acted, Answers, Beside, Deadlines, Ended, Library, Returned, Rules, Stirred, Voices};
use super::score::{Exhibit, tally};
use crate::environment::{Environment, EnvironmentFault, Outcome, Standing};
use crate::episode::FaultKind;
use crate::reward::{Composite, RewardFault};
use crate::seed::Seed;
use crate::task::Task;
use crate::voice::{Answer, Ticket, Words};

pub(super) fn step(
    mut commands: Commands<'_, '_>,
    rules: Res<'_, Rules>,
    voices: Res<'_, Voices>,
    answers: Res<'_, Answers>,
    mut beside: ResMut<'_, Beside>,
    mut deadlines: ResMut<'_, Deadlines>,
    (mut stirred, mut acted, mut ended): (ResMut<'_, Stirred>, ResMut<'_, Acted>, ResMut<'_, Ended>),
    mut episodes: Query<'_, '_, &mut Episode>,
) -> Result<(), BevyError> {
    let mut again = vec![];
    for entity in acted.0.drain(..) {
        let Ok(mut episode) = episodes.get_mut(entity) else { continue };
        let play = &mut **episode;
        let Some(mut environment) = play.environment.take() else { continue };
        if environment.blocking() {
            let output = play.turns.output().cloned();
            let errand = Errand::Step(output);
            let then = Then::GoOn(entity);
            let deadline = voices.patience.map(|patience| Instant::now() + patience);
            let spawned = commands.spawn_empty().id();
            let stepping = send_away(environment, errand, then, spawned, &beside.0.handle()?, &answers.sender);
            commands.entity(spawned).insert((stepping, Waiting(None)));
            deadlines.0.extend(deadline.map(|deadline| Reverse((deadline, spawned))));
            continue;
        }
        let outcome = environment.step(play.turns.output().map(|output| &**output));
        play.environment = Some(environment);
        let mut queues = Queues { stirred: &mut stirred.0, acted: &mut again, ended: &mut ended.0 };
        apply(play, entity, outcome, rules.team(), &mut queues);
    }
    acted.0 = again;
    Ok(())
}

/// Takes environments back from other threads, or gives them up.
pub(super) fn resume(
    mut commands: Commands<'_, '_>,
    rules: Res<'_, Rules>,
    voices: Res<'_, Voices>,
    library: Res<'_, Library>,
    mut returned: ResMut<'_, Returned>,
    (mut stirred, mut acted, mut ended): (ResMut<'_, Stirred>, ResMut<'_, Acted>, ResMut<'_, Ended>),
    mut stepping: Query<'_, '_, &mut Stepping>,
    mut episodes: Query<'_, '_, &mut Episode>,
) {
    for entity in returned.0.drain(..) {
        let Ok(mut errand) = stepping.get_mut(entity) else { continue };
        let late = || {
            let limit = voices.patience.unwrap_or_default().as_secs_f64();
            let fault = EnvironmentFault(format!("it took longer than {limit} s"));
            Stepped { environment: None, outcome: Err(fault) }
        };
        let Stepped { environment, outcome } = errand.result.try_recv().unwrap_or_else(|_| late());
        let mut queues = Queues { stirred: &mut stirred.0, acted: &mut acted.0, ended: &mut ended.0 };
        match std::mem::replace(&mut errand.then, Then::GoOn(Entity::PLACEHOLDER)) {
            Then::Begin(beginning) => {
                let scene = outcome.and_then(|shown| match shown {
                    Shown::Reset(scene) => Ok(scene),
                    _ => Err(EnvironmentFault("it stepped before it was reset".to_owned())),
                });
                let fresh = Fresh { beginning: *beginning, environment, scene };
                let play = begin::play(fresh, &rules, &library.0);
                let opened = commands.spawn_empty().id();
                let mut episode = Episode::from(play);
                go_on(opened, &mut episode, &mut queues);
                commands.entity(opened).insert(episode);
            }
            Then::GoOn(of) => {
                if let Ok(mut episode) = episodes.get_mut(of) {
                    let play = &mut **episode;
                    play.environment = environment;
                    let outcome = outcome.and_then(|shown| match shown {
                        Shown::Step(outcome) => Ok(outcome),
                        _ => Err(EnvironmentFault("it was reset instead of stepped".to_owned())),
                    });
                    apply(play, of, outcome, rules.team(), &mut queues);
                }
            }
            Then::Close(of) => {
                if let Ok(mut episode) = episodes.get_mut(of) {
                    episode.environment = environment;
                    episode.tally = Some(match outcome {
                        Ok(Shown::Judged(tally)) => tally,
                        Ok(_) => Err(RewardFault::Custom("nothing was judged".to_owned())),
                        Err(fault) => Err(RewardFault::Custom(fault.0)),
                    });
                    queues.ended.push(of);
                }
            }
        }
        commands.entity(entity).despawn();
    }
}

/// What an environment does on another thread.
pub(super) enum Errand {
    Reset(Arc<Task>, Seed),
    Step(Option<Arc<Message>>),
    /// It waits while its episode is judged.
    Judge(Arc<Composite>, Vec<Exhibit<'static>>),
}

/// Lets an environment work on a thread where it may block.
pub(super) fn send_away(
    mut environment: Box<dyn Environment>,
    errand: Errand,
    then: Then,
    entity: Entity,
    beside: &Handle,
    answers: &Sender<Answer>,
) -> Stepping {
    let (sender, result) = bounded(1);
    let answers = answers.clone();
    let work = move || {
        let outcome = match errand {
            Errand::Reset(task, seed) => environment.reset(&task, seed).map(Shown::Reset),
            Errand::Step(output) => environment.step(output.as_deref()).map(Shown::Step),
            Errand::Judge(judge, exhibits) => Ok(Shown::Judged(tally(&judge, &exhibits))),
        };
        Stepped { environment: Some(environment), outcome }
    };
    beside.spawn(async move {
        let stepped = tokio::task::spawn_blocking(work).await;
        let broken = |_| Stepped { environment: None, outcome: Err(EnvironmentFault("it panicked".to_owned())) };
        // an episode that is gone, or gave it up, wants nothing back
        drop(sender.send(stepped.unwrap_or_else(broken)));
        let ticket = Ticket(entity.to_bits());
        crate::tool::send(&answers, Answer { ticket, outcome: Ok(Words::default()) }).await;
    });
    Stepping { then, result }
}

/// What a step comes to.
fn apply(
    play: &mut Play,
    entity: Entity,
    outcome: Result<Outcome, EnvironmentFault>,
    team: &Team,
    queues: &mut Queues<'_>,
) {
    match outcome {
        Ok(Outcome { standing, rewards }) => {
            play.paid.push(rewards);
            match standing {
                Standing::Open(scene) => {
                    let own = own_observations(team, scene.own);
                    play.turns.next_step(scene.shared, own);
                    if let Some(notes) = &mut play.notes {
                        notes.end_turn();
                    }
                    play.closing = false;
                    return go_on(entity, play, queues);
                }
                Standing::Done { .. } => {}
                Standing::Truncated => play.truncated = true,
            }
        }
        Err(fault) => play.draft.fault(FaultKind::Environment, None, fault.to_string(), false),
    }
    queues.ended.push(entity);
}

/// Observations by label, for all agents that bear it.
pub(super) fn own_observations(team: &Team, own: Vec<(String, Shared)>) -> Vec<(NodeId, Shared)> {
    let mut observations = vec![];
    for (label, shown) in own {
        let bearers = team.agents().filter(|(id, _)| team.node(*id).label == label);
        observations.extend(bearers.map(|(id, _)| (id, shown.clone())));
    }
    observations
}

/// What an opening waits for, where its environment blocks.
pub(super) fn begin_away(beginning: Beginning) -> (Errand, Then) {
    let errand = Errand::Reset(Arc::clone(&beginning.task), beginning.seed.child("environment", 0));
    (errand, Then::Begin(Box::new(beginning)))
}
