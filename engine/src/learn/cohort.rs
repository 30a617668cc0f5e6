//! Who learns, with which weights, by which algorithm.

use marft_agents::critic::{CriticHead, CriticId};
use marft_agents::generate::PolicyId;
use marft_algorithms::preset::Algorithm;

/// An agent of the team, as learning sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Player {
    /// Its label.
    pub label: String,
    /// Its weights on the device.
    pub policy: PolicyId,
    /// The temperature it samples at: log-probabilities are those of the distribution that was sampled.
    pub temperature: f64,
}

/// Agents that learn by one algorithm.
#[derive(Debug, Clone, PartialEq)]
pub struct Cohort {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Its agents, in the order of the team.
    pub players: Vec<Player>,
    /// Its critic, where the algorithm needs one, and whether every agent has a head of its own.
    pub critic: Option<(CriticId, bool)>,
}

impl Cohort {
    /// The index of an agent.
    pub fn player(&self, label: &str) -> Option<usize> {
        self.players.iter().position(|player| player.label == label)
    }

    /// The head that values the states of an agent.
    pub(super) fn head(&self, player: usize) -> Option<CriticHead> {
        self.critic.map(|(critic, per_agent)| CriticHead { critic, head: if per_agent { player } else { 0 } })
    }

    /// The policies of its agents, each once, ascending.
    pub fn policies(&self) -> Vec<PolicyId> {
        let mut policies: Vec<_> = self.players.iter().map(|player| player.policy).collect();
        policies.sort_unstable();
        policies.dedup();
        policies
    }
}
