//! Collect: takes answers from the completion channel, and notes what took too long.

use std::cmp::Reverse;
use std::time::Instant;

use bevy_ecs::prelude::*;

use super::away::Errand;
use super::components::Waiting;
use super::resources::{Answered, Answers, Deadlines, Expired, Returned};
use crate::voice::Answer;

/// Most answers taken in one tick, so that a flood of them does not starve the rest of the schedule.
const MOST: usize = 8192;

pub(super) fn collect(
    mut commands: Commands<'_, '_>,
    mut answers: ResMut<'_, Answers>,
    mut answered: ResMut<'_, Answered>,
    mut returned: ResMut<'_, Returned>,
    mut waiting: Query<'_, '_, (&mut Waiting, Has<Errand>)>,
) {
    let mut put = |answer: Answer| {
        // a turn that was withdrawn or timed out, or whose episode is gone, wants no answer any more
        let Some(entity) = Entity::try_from_bits(answer.ticket.0) else { return };
        let Ok((mut asked, away)) = waiting.get_mut(entity) else { return };
        // answered: there is nothing left to withdraw
        asked.0 = None;
        commands.entity(entity).remove::<Waiting>();
        if away { returned.0.push(entity) } else { answered.0.push(answer) }
    };
    if let Some(answer) = answers.woken_by.take() {
        put(answer);
    }
    for answer in answers.receiver.try_iter().take(MOST) {
        put(answer);
    }
}

pub(super) fn expire(mut deadlines: ResMut<'_, Deadlines>, mut expired: ResMut<'_, Expired>) {
    if deadlines.0.is_empty() {
        return;
    }
    let now = Instant::now();
    while let Some(Reverse((deadline, entity))) = deadlines.0.peek().copied() {
        if deadline > now {
            return;
        }
        deadlines.0.pop();
        expired.0.push(entity);
    }
}
