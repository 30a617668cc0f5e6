//! What an update did, as numbers.

use std::collections::BTreeMap;

use marft_agents::generate::PolicyId;
use marft_algorithms::loss::PolicyDiagnostics;
use serde::Serialize;

use super::estimate::Estimated;
use super::loss::PartReport;

/// What learning from one step's episodes came to.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct LearnReport {
    /// Per policy.
    pub policies: BTreeMap<PolicyId, PolicyReport>,
    /// Per critic.
    pub critics: Vec<CriticReport>,
    /// What every agent was paid in an episode by the rule of credit, on average, by label.
    pub paid: BTreeMap<String, f64>,
    /// Share of groups whose members all earned the same; `None` where nothing is compared.
    pub uniform_groups: Option<f64>,
    /// Mean advantage over the elements in the loss.
    pub advantage_mean: f64,
    /// Standard deviation of the advantages.
    pub advantage_std: f64,
    /// Greatest absolute advantage.
    pub advantage_max: f64,
    /// Mean absolute difference between the log-probabilities of sampler and trainer before the first update, nats.
    pub logprob_gap: f64,
    /// The greatest such difference.
    pub logprob_gap_max: f64,
    /// Mean divergence that rewards paid for, nats per token.
    pub kl_in_reward: Option<f64>,
    /// Coefficient of the divergence from the reference in this step, per policy that has one.
    pub kl_coefficient: BTreeMap<PolicyId, f64>,
    /// Tokens that went through training passes.
    pub rows: usize,
    /// Updates that were dropped because a loss or a gradient was not finite.
    pub bad_updates: u32,
}

/// What happened to a policy.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PolicyReport {
    /// Mean loss of its updates.
    pub loss: f64,
    /// Divergence from the policy that sampled, k3, nats per element.
    pub approx_kl: f64,
    /// Share of elements with a clipped gradient.
    pub clip_fraction: f64,
    /// Mean ratio of new to old probability.
    pub ratio: f64,
    /// Mean entropy of its tokens, nats.
    pub entropy: f64,
    /// Divergence from the reference, nats per element; `None` where the loss does not ask for it.
    pub kl_reference: Option<f64>,
    /// Mean norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate of the last update.
    pub learning_rate: f64,
    /// Updates applied.
    pub updates: u32,
    /// Updates that the divergence gate dropped.
    pub gated: u32,
    /// Updates that were dropped because a loss or a gradient was not finite.
    pub dropped: u32,
    /// Tokens in the loss, all passes together.
    pub tokens: usize,
}

/// What happened to a critic.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct CriticReport {
    /// Which.
    pub critic: u32,
    /// Mean loss of its updates.
    pub loss: f64,
    /// 1 − var(R − V) / var(R).
    pub explained_variance: f64,
    /// Mean norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Share of values with a clipped gradient.
    pub clip_fraction: f64,
    /// Updates applied.
    pub updates: u32,
}

impl LearnReport {
    /// Mean divergence of policies from their references, nats per element; `None` where it was not measured.
    pub(super) fn kl_reference(&self, policies: &[PolicyId]) -> Option<f64> {
        let own = policies.iter().filter_map(|policy| self.policies.get(policy));
        let (mut sum, mut tokens) = (0.0, 0);
        for (kl, weight) in own.filter_map(|policy| Some((policy.kl_reference?, policy.tokens))) {
            (sum, tokens) = (sum + kl * weight as f64, tokens + weight);
        }
        (tokens > 0).then(|| sum / tokens as f64)
    }

    /// Notes that the batch of these policies was of no use, because a number was not finite.
    pub(super) fn drop_update(&mut self, policies: &[PolicyId]) {
        self.bad_updates += 1;
        for policy in policies {
            self.policies.entry(*policy).or_default().dropped += 1;
        }
    }

    /// Adds what is known of rewards and advantages.
    pub(super) fn describe<'a>(&mut self, batches: impl Iterator<Item = &'a Estimated>) {
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0_usize);
        let mut uniform = vec![];
        for batch in batches {
            self.paid.extend(batch.paid.iter().map(|(agent, paid)| (agent.clone(), *paid)));
            for (advantage, _) in batch.advantage.iter().zip(&batch.in_loss).filter(|(_, in_loss)| **in_loss) {
                let advantage = f64::from(*advantage);
                (sum, squares, count) = (sum + advantage, squares + advantage * advantage, count + 1);
                self.advantage_max = self.advantage_max.max(advantage.abs());
            }
            uniform.extend(batch.uniform_groups);
            self.kl_in_reward = batch.kl_in_reward.or(self.kl_in_reward);
        }
        if !uniform.is_empty() {
            self.uniform_groups = Some(uniform.iter().sum::<f64>() / uniform.len() as f64);
        }
        if count > 0 {
            self.advantage_mean = sum / count as f64;
            self.advantage_std = (squares / count as f64 - self.advantage_mean.powi(2)).max(0.0).sqrt();
        }
    }
}

/// How far the trainer is from the sampler, over the batches of all cohorts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gap {
    sum: f64,
    tokens: usize,
    max: f64,
}

impl Gap {
    pub(super) fn note(&mut self, part: &PartReport) {
        self.sum += part.gap_sum;
        self.tokens += part.tokens;
        self.max = self.max.max(part.gap_max);
    }

    /// Mean over the tokens, and the greatest; nats.
    pub(super) fn told(&self) -> (f64, f64) {
        (self.sum / self.tokens.max(1) as f64, self.max)
    }
}

/// Adds up the parts of one policy's mini-batches.
#[derive(Debug, Clone, Default)]
pub(super) struct Account {
    pub(super) diagnostics: PolicyDiagnostics,
    loss: f64,
    entropy: f64,
    kl_ref: f64,
    kl_elements: usize,
    tokens: usize,
    grad_norm: f64,
    learning_rate: f64,
    updates: u32,
    pub(super) gated: u32,
    pub(super) dropped: u32,
}

impl Account {
    pub(super) fn note(&mut self, part: &PartReport) {
        self.diagnostics = self.diagnostics.merge(part.diagnostics);
        self.loss += part.loss;
        self.entropy += part.entropy_sum;
        if let Some(kl) = part.kl_ref {
            self.kl_ref += kl * part.diagnostics.tokens as f64;
            self.kl_elements += part.diagnostics.tokens;
        }
        self.tokens += part.tokens;
    }

    pub(super) fn updated(&mut self, grad_norm: f64, learning_rate: f64) {
        self.grad_norm += grad_norm;
        self.learning_rate = learning_rate;
        self.updates += 1;
    }

    /// The report over `batches` mini-batches.
    pub(super) fn report(&self, batches: u32) -> PolicyReport {
        let over = |sum: f64, count: usize| sum / count.max(1) as f64;
        PolicyReport {
            loss: self.loss / f64::from(batches.max(1)),
            approx_kl: self.diagnostics.approx_kl,
            clip_fraction: self.diagnostics.clip_low + self.diagnostics.clip_high + self.diagnostics.dual_clip,
            ratio: self.diagnostics.ratio_mean,
            entropy: over(self.entropy, self.tokens),
            kl_reference: (self.kl_elements > 0).then(|| self.kl_ref / self.kl_elements as f64),
            grad_norm: over(self.grad_norm, self.updates as usize),
            learning_rate: self.learning_rate,
            updates: self.updates,
            gated: self.gated,
            dropped: self.dropped,
            tokens: self.tokens,
        }
    }
}
