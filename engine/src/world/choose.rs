//! Choose: asks the readiness rule of every episode in which something happened.

use bevy_ecs::prelude::*;

use super::components::{Ended, Episode, Ready, SpeaksIn, Stirred, Turn};

pub(super) fn choose(
    mut commands: Commands<'_, '_>,
    mut episodes: Query<'_, '_, (Entity, &mut Episode), (With<Stirred>, Without<Ended>)>,
) {
    for (entity, mut episode) in &mut episodes {
        for turn in episode.turns.take_ready() {
            let id = turn.id;
            let spawned = commands.spawn((Turn { turn, failures: 0 }, SpeaksIn(entity), Ready)).id();
            episode.out.insert(id, spawned);
        }
        commands.entity(entity).remove::<Stirred>();
    }
}
