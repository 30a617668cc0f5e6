//! Which settings an algorithm does not read: a key without effect is an error, never a silent no-op.

use super::{
    AggregationName, Algorithm, Compat, CreditRule, Estimator, Level, LossKind, Rescale, ScheduleKind, ValueError,
};
use crate::advantage::group::Std;
use crate::advantage::normalise::Scope;

impl Algorithm {
    /// Why setting `key` would have no effect, if so.
    pub(super) fn unread(&self, key: &str) -> Option<&'static str> {
        use Estimator as E;
        let estimator = self.estimator;
        let divides = matches!(estimator, E::Grpo | E::DrMas | E::AtGrpo | E::Magrpo | E::Gigpo);
        let ratio = matches!(self.loss, LossKind::PpoClip | LossKind::Gspo | LossKind::Decoupled);
        let first_release = self.compat == Compat::MarftV1;
        let (read, reason) = match key {
            "lambda_token" | "lambda_agent" | "lambda_step" if !self.needs_critic() => {
                (false, "only gae and joint have a lambda; use estimator = \"gae\"")
            }
            "lambda_token" | "lambda_agent" if estimator == E::Joint => {
                (false, "joint has one advantage a step, and reads lambda_step alone")
            }
            "gamma_token" | "lambda_token" if self.level == Level::Action => {
                (false, "level = \"action\" has no borders between tokens")
            }
            "normalise_mean" | "normalise_scale" | "normalise_std" if first_release => {
                (false, "compat = \"marft-v1\" normalises every mini-batch in its own way")
            }
            "gamma_token" | "gamma_agent" => (
                matches!(estimator, E::Gae | E::MonteCarlo | E::ReinforcePp),
                "this estimator discounts no tokens and no agents",
            ),
            "gamma_step" => (
                matches!(estimator, E::Gae | E::Joint | E::MonteCarlo | E::ReinforcePp | E::Gigpo | E::Magrpo)
                    || (estimator == E::AtGrpo && self.turn_returns),
                "this estimator sums rewards without discount",
            ),
            "std" => (divides, "this estimator divides by no group deviation; grpo does"),
            "std_eps" => (divides && self.std != Std::None, "nothing is divided by a deviation"),
            "scale_over" => (
                estimator == E::Grpo && self.std != Std::None,
                "only grpo chooses over which samples its deviation is taken",
            ),
            "step_weight" => (estimator == E::Gigpo, "only gigpo has a step part"),
            "turn_returns" => (estimator == E::AtGrpo, "only at-grpo compares turns with turns"),
            "reward_clip" => (estimator == E::Rloo, "only rloo clips rewards"),
            "rae_decay" | "rae_initial" | "rae_update_first" => {
                (estimator == E::Rae, "only rae has a running baseline")
            }
            "rescale_low" | "rescale_high" => (self.rescale != Rescale::None, "rescale is none"),
            "pass_at" => (self.rescale == Rescale::PassRate, "only rescale = \"pass-rate\" reads it"),
            "action_logprob" => (
                self.level == Level::Action,
                "only level = \"action\" makes one log-probability of those of the tokens",
            ),
            "normalise_std" => (self.normalise_scale != Scope::None, "normalise_scale is none"),
            "credit_discount" => (self.credit == CreditRule::StepDiscount, "only credit = \"step-discount\" reads it"),
            "team_weight" => (self.credit == CreditRule::OwnTeamMix, "only credit = \"own-team-mix\" reads it"),
            "clip_low" | "clip_high" => (ratio, "this loss does not clip the ratio"),
            "dual_clip" => (self.loss == LossKind::PpoClip, "only loss = \"ppo-clip\" has a second bound"),
            "ratio_min" | "ratio_max" => (self.loss == LossKind::Cispo, "only loss = \"cispo\" bounds its weight"),
            "behaviour_cap" => (self.loss == LossKind::Decoupled, "only loss = \"decoupled\" has a behaviour weight"),
            "max_completion_length" => (
                self.aggregation == AggregationName::SeqMeanTokenSumNorm || self.overlong_buffer.is_some(),
                "only aggregation = \"seq-mean-token-sum-norm\" and the overlong penalty read it; the limit of a turn is \
                 max_tokens of its agent",
            ),
            "value_coef" | "value_clip" | "value_error" | "critic_learning_rate" => {
                (self.needs_critic(), "this estimator has no critic; use estimator = \"gae\"")
            }
            "huber_delta" => {
                (self.needs_critic() && self.value_error == ValueError::Huber, "only value_error = \"huber\" reads it")
            }
            "kl_loss_type" => (self.kl_loss_coef != 0.0, "kl_loss_coef is 0"),
            "kl_reward_type" => (self.kl_reward_coef != 0.0, "kl_reward_coef is 0"),
            "sampler_weight_min" | "sampler_weight_mode" => {
                (self.sampler_weight_max.is_some(), "sampler_weight_max is not set")
            }
            "max_sampling_rounds" | "sampling_metric" => (self.dynamic_sampling, "dynamic_sampling is off"),
            "overlong_factor" => (self.overlong_buffer.is_some(), "overlong_buffer is not set"),
            "order" => (self.schedule == ScheduleKind::Sequential, "only schedule = \"sequential\" reads it"),
            "update_interval" | "update_offset" => {
                (self.schedule == ScheduleKind::Interval, "only schedule = \"interval\" reads it")
            }
            _ => return None,
        };
        (!read).then_some(reason)
    }
}
