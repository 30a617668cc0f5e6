//! Ranges, and settings that contradict one another.

use super::{Algorithm, CreditRule, Estimator, Level, Linkage, LossKind, PresetError};
use crate::Result;
use crate::advantage::normalise::Scope;

impl Estimator {
    /// Whether episodes of one task are compared, so that a task needs at least two.
    pub fn compares(self) -> bool {
        !matches!(self, Self::Gae | Self::Joint | Self::MonteCarlo | Self::ReinforcePp | Self::Rae)
    }
}

impl Algorithm {
    pub(super) fn check(&self) -> Result<()> {
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let weight = |x: f64| x >= 0.0 && x.is_finite();
        let ranges = [
            ("credit_discount", self.credit_discount, share(self.credit_discount), "it must lie in [0, 1]"),
            ("team_weight", self.team_weight, share(self.team_weight), "it must lie in [0, 1]"),
            ("gamma_token", self.gamma_token, share(self.gamma_token), "it must lie in [0, 1]"),
            ("gamma_agent", self.gamma_agent, share(self.gamma_agent), "it must lie in [0, 1]"),
            ("gamma_step", self.gamma_step, share(self.gamma_step), "it must lie in [0, 1]"),
            ("lambda_token", self.lambda_token, share(self.lambda_token), "it must lie in [0, 1]"),
            ("lambda_agent", self.lambda_agent, share(self.lambda_agent), "it must lie in [0, 1]"),
            ("lambda_step", self.lambda_step, share(self.lambda_step), "it must lie in [0, 1]"),
            ("rae_decay", self.rae_decay, share(self.rae_decay) && self.rae_decay < 1.0, "it must lie in [0, 1)"),
            ("clip_low", self.clip_low, weight(self.clip_low), "it must not be negative"),
            ("clip_high", self.clip_high, weight(self.clip_high), "it must not be negative"),
            ("ratio_min", self.ratio_min, share(self.ratio_min), "it must lie in [0, 1]"),
            ("ratio_max", self.ratio_max, self.ratio_max >= 1.0, "it must be at least 1"),
            ("std_eps", self.std_eps, weight(self.std_eps), "it must not be negative"),
            ("step_weight", self.step_weight, weight(self.step_weight), "it must not be negative"),
            ("kl_loss_coef", self.kl_loss_coef, weight(self.kl_loss_coef), "it must not be negative"),
            ("kl_reward_coef", self.kl_reward_coef, weight(self.kl_reward_coef), "it must not be negative"),
            (
                "sampler_weight_max",
                self.sampler_weight_max.unwrap_or(1.0),
                self.sampler_weight_max.is_none_or(|max| max > 0.0),
                "it must be positive",
            ),
            (
                "sampler_weight_min",
                self.sampler_weight_min.unwrap_or(0.0),
                self.sampler_weight_min
                    .is_none_or(|min| min >= 0.0 && self.sampler_weight_max.is_none_or(|max| min <= max)),
                "it must not be negative, nor exceed sampler_weight_max",
            ),
            ("value_coef", self.value_coef, weight(self.value_coef), "it must not be negative"),
            ("huber_delta", self.huber_delta, self.huber_delta > 0.0, "it must be positive"),
            ("dual_clip", self.dual_clip.unwrap_or(2.0), self.dual_clip.is_none_or(|c| c > 1.0), "it must exceed 1"),
            ("learning_rate", self.learning_rate, weight(self.learning_rate), "it must not be negative"),
            ("max_grad_norm", self.max_grad_norm, self.max_grad_norm > 0.0, "it must be positive"),
            ("group_size", f64::from(self.group_size), self.group_size > 0, "sample at least one episode per task"),
            ("epochs", f64::from(self.epochs), self.epochs > 0, "pass over a batch at least once"),
            ("mini_batches", f64::from(self.mini_batches), self.mini_batches > 0, "take at least one step per pass"),
        ];
        if let Some((key, value, _, reason)) = ranges.into_iter().find(|(_, _, fine, _)| !fine) {
            let (key, value, reason) = (key.to_owned(), value.to_string(), reason.to_owned());
            return Err(PresetError::Value { key, value, reason }.into());
        }
        let contradictions = [
            (
                self.estimator.compares() && self.group_size < 2,
                "this estimator compares the episodes of a task, and group_size is 1",
                "sample at least 2 per task, or use gae, reinforce-pp or rae",
            ),
            (
                self.credit == CreditRule::TeamShared
                    && self.chain == Linkage::Team
                    && matches!(self.estimator, Estimator::Gae | Estimator::MonteCarlo | Estimator::ReinforcePp),
                "team-shared pays every turn, and the team's chain adds the payments up: the reward counts once per turn",
                "use credit = \"last-agent\", or chain = \"agent\"",
            ),
            (
                self.kl_loss_coef > 0.0 && self.kl_reward_coef > 0.0,
                "the divergence from the reference is penalised in the loss and in the reward",
                "keep one of kl_loss_coef and kl_reward_coef",
            ),
            (
                self.level == Level::Action && self.loss == LossKind::Gspo,
                "gspo takes the mean ratio over the tokens of a sequence, and an action has one log-probability",
                "use level = \"token\", or loss = \"ppo-clip\"",
            ),
            (
                self.chain == Linkage::Agent && self.estimator == Estimator::Joint,
                "joint treats the team as one, and chain = \"agent\" takes it apart",
                "use estimator = \"gae\" for independent agents",
            ),
            (
                self.warm_up_steps > 0 && !self.needs_critic(),
                "warm_up_steps holds the policies back for a critic, and this estimator has none",
                "leave warm_up_steps out",
            ),
            (
                self.normalise_mean == Scope::Group && self.group_size < 2,
                "centring within groups of one episode removes the reward",
                "use normalise_mean = \"batch\", or group_size of at least 2",
            ),
            (
                self.dynamic_sampling && !self.estimator.compares(),
                "dynamic sampling drops groups that agree, and this estimator has no groups",
                "leave dynamic_sampling out",
            ),
        ];
        match contradictions.into_iter().find(|(wrong, ..)| *wrong) {
            Some((_, what, hint)) => Err(PresetError::Combination { what, hint }.into()),
            None => Ok(()),
        }
    }
}
