//! Beginning: makes an episode out of an opening and what its environment shows first.

use std::sync::Arc;
use std::time::Instant;

use bevy_ecs::error::BevyError;
use bevy_ecs::prelude::*;
use marft_topologies::turns::{Inputs, Turns};

use super::away::{Away, Errand};
use super::choose::MOST;
use super::components::{Episode, Play};
use super::deliver::{Queues, go_on};
use super::draft::Draft;
use super::memory::{Notes, Shelf};
use super::opening::Beginning;
use super::resources::{Opened, Rules};
use super::step::own_observations;
use crate::environment::{Environment, EnvironmentFault, Scene};
use crate::episode::FaultKind;

/// An opening whose environment has answered.
pub(super) struct Fresh {
    pub(super) beginning: Beginning,
    /// Gone where it broke on another thread.
    pub(super) environment: Option<Box<dyn Environment>>,
    pub(super) scene: Result<Scene, EnvironmentFault>,
}

/// Begins as many episodes as the readiness rule has time for in this tick.
pub(super) fn begin(
    mut commands: Commands<'_, '_>,
    rules: Res<'_, Rules>,
    mut away: Away<'_, '_>,
    mut opened: ResMut<'_, Opened>,
    mut queues: Queues<'_>,
) -> Result<(), BevyError> {
    while queues.stirred.0.len() < MOST
        && let Some((opening, shelf)) = opened.0.pop_front()
    {
        let (beginning, mut environment) = opening.apart();
        let seed = beginning.seed.child("environment", 0);
        if environment.blocking() {
            let task = Arc::clone(&beginning.task);
            let work = move |environment: &mut dyn Environment| environment.reset(&task, seed);
            away.send(environment, work, |back| Errand::Begin(beginning, shelf, back))?;
            continue;
        }
        let scene = environment.reset(&beginning.task, seed);
        let fresh = Fresh { beginning, environment: Some(environment), scene };
        enter(fresh, &rules, &shelf, &mut commands, &mut queues);
    }
    Ok(())
}

/// Puts an episode into the world.
pub(super) fn enter(
    fresh: Fresh,
    rules: &Rules,
    shelf: &Arc<Shelf>,
    commands: &mut Commands<'_, '_>,
    queues: &mut Queues<'_>,
) {
    let mut episode = Episode::from(play(fresh, rules, shelf));
    let entity = commands.spawn_empty().id();
    go_on(entity, &mut episode, queues);
    commands.entity(entity).insert(episode);
}

/// The episode; one whose environment broke is cancelled.
fn play(fresh: Fresh, rules: &Rules, shelf: &Arc<Shelf>) -> Play {
    let Fresh { beginning, environment, scene } = fresh;
    let Beginning { task, seed, step, sample, temperature, fork } = beginning;
    let team = rules.team();
    let mut draft = Draft::default();
    let broken = scene.is_err();
    let inputs = scene.map(|scene| Inputs {
        task: scene.shared,
        own: own_observations(team, scene.own),
        seed: seed.draw(0),
        state: shelf.state.clone(),
    });
    let inputs = inputs.unwrap_or_else(|fault| {
        draft.fault(FaultKind::Environment, None, fault.to_string(), false);
        Inputs::default()
    });
    let mut turns = Turns::new(&rules.plan, inputs);
    if broken {
        turns.cancel();
    }
    Play {
        turns,
        task,
        environment,
        seed,
        step,
        sample,
        temperature,
        fork: fork.map(Box::new),
        draft,
        notes: (!team.memories().is_empty()).then(|| Box::new(Notes::new(&rules.plan, Arc::clone(shelf)))),
        paid: vec![],
        truncated: false,
        tally: None,
        closing: false,
        started: Instant::now(),
        out: vec![],
    }
}
