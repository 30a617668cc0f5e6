//! Away: environments that block do so on other threads, and so does a judge; their episodes go on when they are back.

use std::cmp::Reverse;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bevy_ecs::prelude::*;
use bevy_ecs::system::SystemParam;
use crossbeam::channel::{Receiver, bounded};

use super::begin::{Fresh, enter};
use super::components::{Episode, Waiting};
use super::deliver::Queues;
use super::memory::Shelf;
use super::opening::Beginning;
use super::resources::{Answers, Beside, Deadlines, Returned, Rules, Voices};
use super::step::apply;
use crate::environment::{Environment, EnvironmentFault, Outcome, Scene};
use crate::reward::{RewardFault, Tally};
use crate::voice::{Answer, Ticket, Words};

/// What an environment is away for.
#[derive(Component)]
pub(super) enum Errand {
    /// An episode begins with what it shows, and what outlived others when it was opened.
    Begin(Beginning, Arc<Shelf>, Receiver<Back<Scene>>),
    /// An episode goes on.
    Step(Entity, Receiver<Back<Outcome>>),
    /// An episode closes with what the judge says; its environment waits.
    Judge(Entity, Receiver<Back<Result<Tally, RewardFault>>>),
}

/// What came back.
pub(super) struct Back<T> {
    /// Gone where it panicked, or took too long.
    pub(super) environment: Option<Box<dyn Environment>>,
    pub(super) outcome: Result<T, EnvironmentFault>,
}

impl<T> Back<T> {
    /// What came in time.
    fn of(receiver: &Receiver<Self>, patience: Option<Duration>) -> Self {
        receiver.try_recv().unwrap_or_else(|_| {
            let limit = patience.unwrap_or_default().as_secs_f64();
            Self { environment: None, outcome: Err(EnvironmentFault(format!("it took longer than {limit} s"))) }
        })
    }
}

/// The way to the other threads.
#[derive(SystemParam)]
pub(super) struct Away<'w, 's> {
    commands: Commands<'w, 's>,
    voices: Res<'w, Voices>,
    answers: Res<'w, Answers>,
    beside: ResMut<'w, Beside>,
    deadlines: ResMut<'w, Deadlines>,
}

impl Away<'_, '_> {
    /// Who answers.
    pub(super) fn voices(&self) -> &Voices {
        &self.voices
    }

    /// Lets `work` be done where it may block; `errand` says what it is for.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(super) fn send<T: Send + 'static>(
        &mut self,
        mut environment: Box<dyn Environment>,
        work: impl FnOnce(&mut dyn Environment) -> Result<T, EnvironmentFault> + Send + 'static,
        errand: impl FnOnce(Receiver<Back<T>>) -> Errand,
    ) -> io::Result<()> {
        let beside = self.beside.0.handle()?;
        let (sender, receiver) = bounded(1);
        let entity = self.commands.spawn((errand(receiver), Waiting(None))).id();
        self.deadlines.0.extend(self.voices.patience.map(|patience| Reverse((Instant::now() + patience, entity))));
        let answers = self.answers.sender.clone();
        beside.spawn(async move {
            let done = tokio::task::spawn_blocking(move || {
                let outcome = work(&mut *environment);
                Back { environment: Some(environment), outcome }
            });
            let broken = |_| Back { environment: None, outcome: Err(EnvironmentFault("it panicked".to_owned())) };
            // an episode that is gone, or gave it up, wants nothing back
            drop(sender.send(done.await.unwrap_or_else(broken)));
            let ticket = Ticket(entity.to_bits());
            crate::tool::send(&answers, Answer { ticket, outcome: Ok(Words::default()) }).await;
        });
        Ok(())
    }
}

/// Takes environments back, or gives them up.
pub(super) fn resume(
    mut commands: Commands<'_, '_>,
    rules: Res<'_, Rules>,
    voices: Res<'_, Voices>,
    mut returned: ResMut<'_, Returned>,
    mut queues: Queues<'_>,
    errands: Query<'_, '_, &Errand>,
    mut episodes: Query<'_, '_, &mut Episode>,
) {
    let patience = voices.patience;
    for entity in returned.0.drain(..) {
        let Ok(errand) = errands.get(entity) else { continue };
        match errand {
            Errand::Begin(beginning, shelf, back) => {
                let Back { environment, outcome } = Back::of(back, patience);
                let fresh = Fresh { beginning: beginning.clone(), environment, scene: outcome };
                enter(fresh, &rules, shelf, &mut commands, &mut queues);
            }
            Errand::Step(of, back) => {
                if let Ok(mut episode) = episodes.get_mut(*of) {
                    let Back { environment, outcome } = Back::of(back, patience);
                    episode.environment = environment;
                    apply(&mut episode, *of, outcome, rules.team(), &mut queues);
                }
            }
            Errand::Judge(of, back) => {
                if let Ok(mut episode) = episodes.get_mut(*of) {
                    let Back { environment, outcome } = Back::of(back, patience);
                    episode.environment = environment;
                    let tally = outcome.unwrap_or_else(|fault| Err(RewardFault::Custom(fault.0)));
                    episode.tally = Some(tally);
                    queues.ended.0.push(*of);
                }
            }
        }
        commands.entity(entity).despawn();
    }
}
