//! The settings of an algorithm, flat and resolved.

use serde::{Deserialize, Serialize};

use super::{
    ActionNorm, AggregationName, Compat, CreditRule, Estimator, Level, Linkage, LossKind, Rescale, ScheduleKind,
    ValueError,
};
use crate::advantage::gae::{GaeConfig, PerBorder};
use crate::advantage::group::Std;
use crate::advantage::grpo::ScaleOver;
use crate::advantage::normalise::Scope;
use crate::advantage::rescale::Bounds;
use crate::kl::KlEstimator;
use crate::loss::TisMode;
use crate::order::schedule::{Schedule, SequentialOrder};
use crate::order::warm_up::WarmUp;

/// Every setting of an algorithm under its one canonical name. The defaults are those of the preset `ppo`.
///
/// Made by [`Algorithm::from_settings`], which checks what no type can; a value that was changed by hand is not checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Algorithm {
    /// How advantages are estimated.
    pub estimator: Estimator,
    /// Whether an action is a token or a turn.
    pub level: Level,
    /// Which turns are linked.
    pub chain: Linkage,
    /// How rewards are paid out.
    pub credit: CreditRule,
    /// Discount per turn of `step-discount`.
    pub credit_discount: f64,
    /// Weight of the team's mean in `own-team-mix`.
    pub team_weight: f64,
    /// Episodes sampled per task.
    pub group_size: u32,
    /// Discount between tokens.
    pub gamma_token: f64,
    /// Discount between agents of a step.
    pub gamma_agent: f64,
    /// Discount between steps.
    pub gamma_step: f64,
    /// Lambda between tokens.
    pub lambda_token: f64,
    /// Lambda between agents of a step.
    pub lambda_agent: f64,
    /// Lambda between steps.
    pub lambda_step: f64,
    /// The deviation that divides a group-relative advantage.
    pub std: Std,
    /// Over which samples it is taken.
    pub scale_over: ScaleOver,
    /// Added to it.
    pub std_eps: f64,
    /// Weight of the step part of `gigpo`.
    pub step_weight: f64,
    /// Whether `at-grpo` compares the rewards from a turn on instead of those of the turn.
    #[serde(default)]
    pub turn_returns: bool,
    /// Bounds to which `rloo` clips rewards before it compares them, in units of reward; none clips nothing.
    #[serde(default)]
    pub reward_clip: Option<[f64; 2]>,
    /// Weight of the past in the baselines of `rae`.
    pub rae_decay: f64,
    /// The baselines of `rae` before the first sample, in units of reward.
    #[serde(default)]
    pub rae_initial: f64,
    /// Whether a sample enters the baseline of `rae` before it is compared with it.
    #[serde(default)]
    pub rae_update_first: bool,
    /// Scope of the mean that centres the final advantages.
    pub normalise_mean: Scope,
    /// Scope of the deviation that scales them.
    pub normalise_scale: Scope,
    /// Which deviation.
    pub normalise_std: Std,
    /// Where the final advantages weigh more.
    #[serde(default = "no_rescale")]
    pub rescale: Rescale,
    /// The factor where they weigh least.
    #[serde(default = "rescale_low")]
    pub rescale_low: f64,
    /// The factor where they weigh most.
    #[serde(default = "rescale_high")]
    pub rescale_high: f64,
    /// The least reward of an episode that counts as passed, in units of reward (`pass-rate`).
    #[serde(default = "pass_at")]
    pub pass_at: f64,

    /// The policy loss.
    pub loss: LossKind,
    /// How the log-probability of an action is made of those of its tokens, at the level of actions.
    #[serde(default = "sum")]
    pub action_logprob: ActionNorm,
    /// How far the ratio may fall below 1.
    pub clip_low: f64,
    /// How far the ratio may rise above 1.
    pub clip_high: f64,
    /// The bound on the ratio of a bad action.
    pub dual_clip: Option<f64>,
    /// The smallest weight of `cispo`.
    pub ratio_min: f64,
    /// The largest weight of `cispo`.
    pub ratio_max: f64,
    /// How tokens become one number.
    pub aggregation: AggregationName,
    /// The longest answer allowed, in tokens: divisor of `seq-mean-token-sum-norm`, limit of the overlong penalty.
    pub max_completion_length: u32,
    /// Weight of the entropy bonus.
    pub entropy_coef: f64,
    /// Weight of the divergence from the reference in the loss.
    pub kl_loss_coef: f64,
    /// How that divergence is estimated.
    pub kl_loss_type: KlEstimator,
    /// Weight of the divergence from the reference in the reward.
    pub kl_reward_coef: f64,
    /// How that divergence is estimated.
    pub kl_reward_type: KlEstimator,
    /// Drop the gradients of an update whose approximate divergence from the old policy exceeds this, in nats.
    pub kl_gate: Option<f64>,
    /// Behaviour weights above this drop their token (`decoupled`).
    pub behaviour_cap: f64,
    /// Largest importance weight between the sampler's and the trainer's probabilities; none trusts the sampler.
    pub sampler_weight_max: Option<f64>,
    /// Smallest such weight; none is no lower bound.
    pub sampler_weight_min: Option<f64>,
    /// Over what such a weight is taken, and what happens to one out of range.
    pub sampler_weight_mode: TisMode,

    /// Weight of the value loss where policy and critic share an optimizer.
    pub value_coef: f64,
    /// How far a value may move from its old one in the loss.
    pub value_clip: Option<f64>,
    /// The error of the critic.
    pub value_error: ValueError,
    /// Where Huber's error becomes linear, in units of reward.
    pub huber_delta: f64,

    /// Sample on until enough groups disagree.
    pub dynamic_sampling: bool,
    /// Rounds of sampling before giving up.
    pub max_sampling_rounds: u32,
    /// The reward term by which groups agree or disagree; the total where absent.
    #[serde(default)]
    pub sampling_metric: Option<String>,
    /// Tokens before the limit at which the overlong penalty starts; none is no penalty.
    pub overlong_buffer: Option<u32>,
    /// The penalty at the limit, in units of reward.
    pub overlong_factor: f64,
    /// Leave truncated answers out of the loss.
    pub mask_truncated: bool,

    /// Which agents learn when.
    pub schedule: ScheduleKind,
    /// Environment steps for which one agent learns.
    pub update_interval: u64,
    /// The agent that begins.
    pub update_offset: u32,
    /// The agents in the order of a `sequential` schedule, by label; that of the team where empty.
    #[serde(default)]
    pub order: Vec<String>,
    /// Environment steps during which the critic alone learns.
    pub warm_up_steps: u64,
    /// Passes over a batch.
    pub epochs: u32,
    /// Optimizer steps per pass.
    pub mini_batches: u32,

    /// Learning rate of the policies.
    pub learning_rate: f64,
    /// Learning rate of the critic.
    pub critic_learning_rate: f64,
    /// AdamW's weight decay.
    pub weight_decay: f64,
    /// AdamW's epsilon.
    pub adam_eps: f64,
    /// Largest gradient norm per policy.
    pub max_grad_norm: f64,

    /// Whose defects to reproduce.
    pub compat: Compat,
}

// What older settings, which know nothing of a key, mean.

fn no_rescale() -> Rescale {
    Rescale::None
}

fn rescale_low() -> f64 {
    Bounds::default().low
}

fn rescale_high() -> f64 {
    Bounds::default().high
}

fn pass_at() -> f64 {
    0.5
}

fn sum() -> ActionNorm {
    ActionNorm::Sum
}

impl Default for Algorithm {
    fn default() -> Self {
        Self {
            estimator: Estimator::Gae,
            level: Level::Token,
            chain: Linkage::Team,
            credit: CreditRule::LastAgent,
            credit_discount: 1.0,
            team_weight: 0.5,
            group_size: 1,
            gamma_token: 1.0,
            gamma_agent: 1.0,
            gamma_step: 1.0,
            lambda_token: 0.95,
            lambda_agent: 0.95,
            lambda_step: 0.95,
            std: Std::Unbiased,
            scale_over: ScaleOver::Group,
            std_eps: 1e-6,
            step_weight: 1.0,
            turn_returns: false,
            reward_clip: None,
            rae_decay: 0.95,
            rae_initial: 0.0,
            rae_update_first: false,
            normalise_mean: Scope::Batch,
            normalise_scale: Scope::Batch,
            normalise_std: Std::Unbiased,
            rescale: no_rescale(),
            rescale_low: rescale_low(),
            rescale_high: rescale_high(),
            pass_at: pass_at(),
            loss: LossKind::PpoClip,
            action_logprob: sum(),
            clip_low: 0.2,
            clip_high: 0.2,
            dual_clip: None,
            ratio_min: 0.0,
            ratio_max: 5.0,
            aggregation: AggregationName::TokenMean,
            max_completion_length: 512,
            entropy_coef: 0.0,
            kl_loss_coef: 0.0,
            kl_loss_type: KlEstimator::K3,
            kl_reward_coef: 0.0,
            kl_reward_type: KlEstimator::K1,
            kl_gate: None,
            behaviour_cap: 5.0,
            sampler_weight_max: None,
            sampler_weight_min: None,
            sampler_weight_mode: TisMode::SequenceMask,
            value_coef: 0.1,
            value_clip: Some(0.2),
            value_error: ValueError::Mse,
            huber_delta: 10.0,
            dynamic_sampling: false,
            max_sampling_rounds: 10,
            sampling_metric: None,
            overlong_buffer: None,
            overlong_factor: 1.0,
            mask_truncated: false,
            schedule: ScheduleKind::Concurrent,
            update_interval: 1000,
            update_offset: 0,
            order: Vec::new(),
            warm_up_steps: 0,
            epochs: 1,
            mini_batches: 1,
            learning_rate: 1e-6,
            critic_learning_rate: 1e-5,
            weight_decay: 0.0,
            adam_eps: 1e-8,
            max_grad_norm: 1.0,
            compat: Compat::None,
        }
    }
}

impl Algorithm {
    /// Discounts by border.
    pub fn gamma(&self) -> PerBorder {
        PerBorder { token: self.gamma_token, agent: self.gamma_agent, step: self.gamma_step }
    }

    /// The settings of [`gae`](crate::advantage::gae::gae).
    pub fn gae(&self) -> GaeConfig {
        let lambda = PerBorder { token: self.lambda_token, agent: self.lambda_agent, step: self.lambda_step };
        GaeConfig { gamma: self.gamma(), lambda, cut_after_reset: self.compat == Compat::MarftV1 }
    }

    /// Whether a critic must be trained.
    pub fn needs_critic(&self) -> bool {
        matches!(self.estimator, Estimator::Gae | Estimator::Joint)
    }

    /// Whether a frozen reference policy must be scored.
    pub fn needs_reference(&self) -> bool {
        self.kl_loss_coef != 0.0 || self.kl_reward_coef != 0.0
    }

    /// When which agent learns; `seed` draws random orders, and `labels` are those of the agents, by number.
    ///
    /// Agents that [`order`](Self::order) does not name come last, in their own order; names of others are passed over.
    pub fn schedule(&self, seed: u64, labels: &[&str]) -> Schedule {
        match self.schedule {
            ScheduleKind::Concurrent => Schedule::Concurrent,
            ScheduleKind::Interval => Schedule::Interval { interval: self.update_interval, offset: self.update_offset },
            ScheduleKind::Sequential if self.order.is_empty() => Schedule::Sequential { order: SequentialOrder::Fixed },
            ScheduleKind::Sequential => {
                let place = |label: &str| self.order.iter().position(|own| own == label).unwrap_or(self.order.len());
                let mut order: Vec<u32> = (0..).take(labels.len()).collect();
                order.sort_by_key(|agent| place(labels[*agent as usize]));
                Schedule::Sequential { order: SequentialOrder::Given(order) }
            }
            ScheduleKind::SequentialRandom => Schedule::Sequential { order: SequentialOrder::Random { seed } },
        }
    }

    /// The environment steps that schedules and warm-ups count for a batch of `batch` steps that comes after `before` others:
    /// those before it, and in MARFT's first release its own too.
    pub fn environment_steps(&self, before: u64, batch: u64) -> u64 {
        match self.compat {
            Compat::None => before,
            Compat::MarftV1 => before + batch,
        }
    }

    /// How long the policies wait for the critic.
    pub fn warm_up(&self) -> WarmUp {
        WarmUp { steps: self.warm_up_steps }
    }

    /// Rows of each optimizer step of one pass; see [`mini_batch`](crate::order::mini_batch).
    pub fn mini_batches(&self, rows: usize, seed: u64) -> crate::Result<Vec<Vec<usize>>> {
        let batches = self.mini_batches as usize;
        match self.compat {
            Compat::None => crate::order::mini_batch::mini_batches(rows, batches, seed),
            Compat::MarftV1 => crate::order::mini_batch::drop_remainder(rows, batches, seed),
        }
    }

    /// The weight of each chunk of a mini-batch in its gradient, from the rows and the tokens in the loss of each chunk.
    pub fn chunk_weights(&self, rows: &[u64], tokens: &[u64]) -> crate::Result<Vec<f64>> {
        let by_row = self.level == Level::Action || self.compat == Compat::MarftV1;
        crate::order::accumulation::chunk_weights(if by_row { rows } else { tokens })
    }
}
