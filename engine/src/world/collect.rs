//! Collect: takes answers from the completion channel and puts them on their turns.

use bevy_ecs::prelude::*;

use super::components::{Answered, Waiting};
use super::resources::{Answers, Counters};
use crate::voice::Answer;

/// Most answers taken in one tick, so that a flood of them does not starve the rest of the schedule.
const MOST: usize = 8192;

pub(super) fn collect(
    mut commands: Commands<'_, '_>,
    mut answers: ResMut<'_, Answers>,
    mut counters: ResMut<'_, Counters>,
    waiting: Query<'_, '_, (), With<Waiting>>,
) {
    let mut put = |answer: Answer| {
        // a turn that was withdrawn or whose episode is gone wants no answer any more
        let Some(entity) = Entity::try_from_bits(answer.ticket.0).filter(|entity| waiting.contains(*entity)) else {
            return;
        };
        counters.waiting = counters.waiting.saturating_sub(1);
        commands.entity(entity).remove::<Waiting>().insert(Answered(answer));
    };
    if let Some(answer) = answers.woken_by.take() {
        put(answer);
    }
    for answer in answers.receiver.try_iter().take(MOST) {
        put(answer);
    }
}
