//! Ranges, and settings that contradict one another.

use super::{Algorithm, CreditRule, Estimator, Level, Linkage, LossKind, PresetError, Rescale};
use crate::Result;
use crate::advantage::normalise::Scope;

impl Estimator {
    /// Whether episodes of one task are compared, so that a task needs at least two.
    pub fn compares(self) -> bool {
        !matches!(self, Self::Gae | Self::Joint | Self::MonteCarlo | Self::ReinforcePp | Self::Rae)
    }
}

impl Algorithm {
    /// Whether what an agent learns from is what it was paid itself, and nobody else.
    pub fn pays_each(&self) -> bool {
        self.chain == Linkage::Agent || matches!(self.estimator, Estimator::AtGrpo | Estimator::Rae)
    }

    pub(super) fn check(&self) -> Result<()> {
        if let Some((key, value, _, reason)) = self.ranges().into_iter().find(|(_, _, fine, _)| !fine) {
            let (key, value, reason) = (key.to_owned(), value.to_string(), reason.to_owned());
            return Err(PresetError::Value { key, value, reason }.into());
        }
        if let Some([low, high]) = self.reward_clip.filter(|[low, high]| low > high) {
            let (key, value) = ("reward_clip".to_owned(), format!("[{low}, {high}]"));
            let reason = "give the lower bound first, then one that is not below it".to_owned();
            return Err(PresetError::Value { key, value, reason }.into());
        }
        match self.contradictions().into_iter().find(|(wrong, ..)| *wrong) {
            Some((_, what, hint)) => Err(PresetError::Combination { what, hint }.into()),
            None => Ok(()),
        }
    }

    /// Each setting with its value, whether that is in range, and what the range is.
    fn ranges(&self) -> impl IntoIterator<Item = (&'static str, f64, bool, &'static str)> {
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let weight = |x: f64| x >= 0.0 && x.is_finite();
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let ceiling = 1.0 + self.clip_high;
        [
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
            ("value_clip", self.value_clip.unwrap_or(1.0), self.value_clip.is_none_or(positive), "it must be positive"),
            (
                "dual_clip",
                self.dual_clip.unwrap_or(ceiling + 1.0),
                self.dual_clip.is_none_or(|c| c > ceiling && c.is_finite()),
                "it must exceed 1 + clip_high, or it would undo the first bound",
            ),
            ("behaviour_cap", self.behaviour_cap, positive(self.behaviour_cap), "it must be positive"),
            ("kl_gate", self.kl_gate.unwrap_or(1.0), self.kl_gate.is_none_or(positive), "it must be positive"),
            (
                "rescale_low",
                self.rescale_low,
                weight(self.rescale_low),
                "a negative factor turns a reward into its opposite",
            ),
            (
                "rescale_high",
                self.rescale_high,
                self.rescale_high.is_finite() && self.rescale_high >= self.rescale_low,
                "it must not be below rescale_low",
            ),
            ("pass_at", self.pass_at, self.pass_at.is_finite(), "it must be a number"),
            ("rae_initial", self.rae_initial, self.rae_initial.is_finite(), "it must be a number"),
            (
                "max_completion_length",
                f64::from(self.max_completion_length),
                self.max_completion_length > 0,
                "an answer has at least one token",
            ),
            (
                "overlong_buffer",
                self.overlong_buffer.map_or(1.0, f64::from),
                self.overlong_buffer.is_none_or(|buffer| (1..=self.max_completion_length).contains(&buffer)),
                "it must lie from 1 to max_completion_length",
            ),
            ("overlong_factor", self.overlong_factor, weight(self.overlong_factor), "it must not be negative"),
            (
                "max_sampling_rounds",
                f64::from(self.max_sampling_rounds),
                self.max_sampling_rounds > 0,
                "sample at least one round; there is no sampling without a limit",
            ),
            ("learning_rate", self.learning_rate, weight(self.learning_rate), "it must not be negative"),
            (
                "critic_learning_rate",
                self.critic_learning_rate,
                weight(self.critic_learning_rate),
                "it must not be negative",
            ),
            ("weight_decay", self.weight_decay, weight(self.weight_decay), "it must not be negative"),
            ("adam_eps", self.adam_eps, positive(self.adam_eps), "it must be positive"),
            ("max_grad_norm", self.max_grad_norm, self.max_grad_norm > 0.0, "it must be positive"),
            ("group_size", f64::from(self.group_size), self.group_size > 0, "sample at least one episode per task"),
            ("epochs", f64::from(self.epochs), self.epochs > 0, "pass over a batch at least once"),
            ("mini_batches", f64::from(self.mini_batches), self.mini_batches > 0, "take at least one step per pass"),
        ]
    }

    /// Each pair of settings that do not go together: whether they stand here, what is wrong with it, and what helps.
    fn contradictions(&self) -> impl IntoIterator<Item = (bool, &'static str, &'static str)> {
        [
            (
                self.estimator.compares() && self.group_size < 2,
                "this estimator compares the episodes of a task, and group_size is 1",
                "sample at least 2 per task, or use gae, reinforce-pp or rae",
            ),
            (
                self.credit == CreditRule::TeamShared && !self.pays_each(),
                "team-shared pays every agent, and the team's chain adds the payments up: the reward counts once per agent",
                "use credit = \"last-agent\", or chain = \"agent\"",
            ),
            (
                matches!(self.credit, CreditRule::Difference | CreditRule::LeaveOneOut) && !self.pays_each(),
                "this credit is what one agent was worth, and the team's chain pays it to those before it too",
                "use chain = \"agent\", or credit = \"rollout-value\"",
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
                self.chain == Linkage::Agent && self.estimator == Estimator::Gigpo,
                "gigpo compares turns that began in one state, whoever took them, and chain = \"agent\" puts them in another order",
                "leave chain out: the anchors of two agents differ already",
            ),
            (
                self.warm_up_steps > 0 && !self.needs_critic(),
                "warm_up_steps holds the policies back for a critic, and this estimator has none",
                "leave warm_up_steps out",
            ),
            (
                self.rescale == Rescale::PassRate && self.group_size < 2,
                "rescale = \"pass-rate\" weighs the episodes of a task by how many of them passed, and group_size is 1",
                "sample at least 2 per task, or use rescale = \"entropy\"",
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
        ]
    }
}
