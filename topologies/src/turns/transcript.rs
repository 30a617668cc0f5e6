//! The transcript, and the dependencies that were really used.

use std::sync::Arc;

use super::{Dependency, Message, Turns};

impl Turns {
    /// Everything that was said, in canonical order: nobody stands before those they heard.
    pub fn transcript(&self) -> Vec<Arc<Message>> {
        let mut messages = self.messages.clone();
        messages.sort_by(|left, right| left.key.cmp(&right.key));
        messages
    }

    /// D as it was in one step of the environment: who was really conditioned on whom, by whatever round.
    ///
    /// With routers and guards it differs from step to step and from episode to episode, and is never more than what the
    /// team's edges allow.
    pub fn dependency(&self, step: u32) -> Dependency {
        self.dependency_where(|message| message.key.path().first() == Some(&step))
    }

    /// D in one round of the team within a step.
    pub fn dependency_in_round(&self, step: u32, round: u32) -> Dependency {
        self.dependency_where(|message| message.key.path().get(..2) == Some(&[step, round]))
    }

    fn dependency_where(&self, counts: impl Fn(&Message) -> bool) -> Dependency {
        let team = &self.plan.team;
        let mut matrix = Dependency::none(team.nodes().len());
        for message in self.messages.iter().filter(|message| counts(message)) {
            for heard in &*message.heard {
                let edge = team.edge(heard.edge);
                matrix.set(edge.from, edge.to);
            }
        }
        matrix
    }
}
