//! Stepping: environments act with what the team put out.

use bevy_ecs::error::BevyError;
use bevy_ecs::prelude::*;
use marft_topologies::Team;
use marft_topologies::team::NodeId;
use marft_topologies::turns::Task as Shared;

use super::away::{Away, Errand};
use super::components::{Episode, Play};
use super::deliver::{Queues, go_on};
use super::resources::Rules;
use crate::environment::{Environment, EnvironmentFault, Outcome, Standing};
use crate::episode::FaultKind;

pub(super) fn step(
    rules: Res<'_, Rules>,
    mut away: Away<'_, '_>,
    mut queues: Queues<'_>,
    mut episodes: Query<'_, '_, &mut Episode>,
) -> Result<(), BevyError> {
    for entity in std::mem::take(&mut queues.acted.0) {
        let Ok(mut episode) = episodes.get_mut(entity) else { continue };
        let play = &mut **episode;
        let Some(mut environment) = play.environment.take() else { continue };
        if environment.blocking() {
            let output = play.turns.output().cloned();
            let work = move |environment: &mut dyn Environment| environment.step(output.as_deref());
            away.send(environment, work, |back| Errand::Step(entity, back))?;
            continue;
        }
        let outcome = environment.step(play.turns.output().map(|output| &**output));
        play.environment = Some(environment);
        apply(play, entity, outcome, rules.team(), &mut queues);
    }
    Ok(())
}

/// What a step comes to.
pub(super) fn apply(
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
    queues.ended.0.push(entity);
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
