//! Who learns, with which weights, by which algorithm.

use marft_agents::critic::{CriticHead, CriticId};
use marft_agents::generate::PolicyId;
use marft_algorithms::kl::KlController;
use marft_algorithms::preset::Algorithm;
use serde::{Deserialize, Serialize};

/// An agent of the team, as learning sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Player {
    /// Its label.
    pub label: String,
    /// Its place among all agents of its cohort, whoever of them learns now: its head of the critic and its baseline hang on it.
    pub place: usize,
    /// Its weights on the device.
    pub policy: PolicyId,
    /// The temperature it samples at: log-probabilities are those of the distribution that was sampled.
    pub temperature: f64,
    /// Whether it gets all of what the team earned, or none of it; by the algorithm's rule of credit when absent.
    pub shares: Option<bool>,
}

/// Where the coefficient of a divergence from the reference is steered to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KlTarget {
    /// The divergence wanted, nats per token.
    pub target: f64,
    /// Episodes over which the coefficient moves by the whole error.
    pub horizon: f64,
}

/// Agents that learn by one algorithm.
#[derive(Debug, Clone, PartialEq)]
pub struct Cohort {
    /// Its place among the run's cohorts: what is remembered of it stands under it.
    pub index: usize,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Its agents, in the order of the team.
    pub players: Vec<Player>,
    /// Its critic, where the algorithm needs one, and whether every agent has a head of its own.
    pub critic: Option<(CriticId, bool)>,
    /// How the coefficient of its divergence is steered; it stays where absent.
    pub kl_target: Option<KlTarget>,
}

impl Cohort {
    /// The coefficient of its divergence before the first step, and how it moves; `None` without a divergence.
    pub(super) fn controller(&self) -> Option<KlController> {
        let coefficient = self.algorithm.kl_reward_coef.max(self.algorithm.kl_loss_coef);
        let controller = match self.kl_target {
            Some(KlTarget { target, horizon }) => KlController::Adaptive { coefficient, target, horizon },
            None => KlController::Fixed { coefficient },
        };
        (coefficient > 0.0).then_some(controller)
    }

    /// Itself, with the coefficient that its divergence has now.
    pub(super) fn steered(&self, coefficient: Option<f64>) -> Self {
        let mut now = self.clone();
        if let Some(coefficient) = coefficient {
            // only one of the two is above zero
            let Algorithm { kl_reward_coef, kl_loss_coef, .. } = &mut now.algorithm;
            *if *kl_reward_coef > 0.0 { kl_reward_coef } else { kl_loss_coef } = coefficient;
        }
        now
    }

    /// The index of an agent.
    pub fn player(&self, label: &str) -> Option<usize> {
        self.players.iter().position(|player| player.label == label)
    }

    /// The head that values the states of an agent.
    pub(super) fn head(&self, player: usize) -> Option<CriticHead> {
        let head = self.players[player].place;
        self.critic.map(|(critic, per_agent)| CriticHead { critic, head: if per_agent { head } else { 0 } })
    }

    /// The policies of its agents, each once, ascending.
    pub fn policies(&self) -> Vec<PolicyId> {
        let mut policies: Vec<_> = self.players.iter().map(|player| player.policy).collect();
        policies.sort_unstable();
        policies.dedup();
        policies
    }
}
