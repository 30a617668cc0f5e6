//! Choose: asks the readiness rule of every episode in which something happened.

use bevy_ecs::prelude::*;
use marft_topologies::turns::Ask;

use super::components::{Episode, Turn};
use super::resources::{ForTools, ForVoices, Stirred};

/// Most episodes taken in one tick: as many as stay in a core's own cache, at 6 KiB each, until they are asked and answered.
pub(super) const MOST: usize = 64;

pub(super) fn choose(
    mut commands: Commands<'_, '_>,
    mut stirred: ResMut<'_, Stirred>,
    mut for_voices: ResMut<'_, ForVoices>,
    mut for_tools: ResMut<'_, ForTools>,
    mut episodes: Query<'_, '_, &mut Episode>,
) {
    let rest = stirred.0.len().saturating_sub(MOST);
    for entity in stirred.0.drain(rest..) {
        let Ok(mut episode) = episodes.get_mut(entity) else { continue };
        for turn in episode.turns.take_ready() {
            let id = turn.id;
            let words = matches!(turn.ask, Ask::Words { .. });
            let spawned = commands.spawn(Turn::new(turn, entity)).id();
            episode.out.push((id, spawned));
            if words { &mut for_voices.0 } else { &mut for_tools.0 }.push(spawned);
        }
    }
}
