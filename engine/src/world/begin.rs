//! Beginning: makes an episode out of an opening and what its environment shows first.

use std::sync::Arc;
use std::time::Instant;

use marft_topologies::turns::{Inputs, Turns};

use super::components::Play;
use super::draft::Draft;
use super::memory::Notes;
use super::opening::Beginning;
use super::resources::{Library, Rules};
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

/// The episode; one whose environment broke is cancelled.
pub(super) fn play(fresh: Fresh, rules: &Rules, library: &Library) -> Play {
    let Fresh { beginning, environment, scene } = fresh;
    let Beginning { task, seed, step, sample, temperature, fork } = beginning;
    let team = rules.team();
    let mut draft = Draft::default();
    let broken = scene.is_err();
    let inputs = scene.map(|scene| Inputs {
        task: scene.shared,
        own: own_observations(team, scene.own),
        seed: seed.draw(0),
        state: library.0.state.clone(),
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
        notes: (!team.memories().is_empty()).then(|| Box::new(Notes::new(&rules.plan, Arc::clone(&library.0)))),
        paid: vec![],
        truncated: false,
        closing: false,
        started: Instant::now(),
        out: vec![],
    }
}
