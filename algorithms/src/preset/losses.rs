//! From settings to losses: the policy loss that was chosen, and the terms that go with it.

use tch::Tensor;

use super::{AggregationName, Algorithm, Compat, LossKind, PresetError, ValueError};
use crate::Result;
use crate::kl::{KlGate, KlInLoss};
use crate::loss::{
    Aggregation, Cispo, Decoupled, DualClip, DynamicSampling, EntropyBonus, Gspo, Lane, Overlong, PolicyBatch,
    PolicyLoss, PpoClip, Reinforce, Tis, cispo, decoupled, dual_clip, gspo, ppo_clip, reinforce,
};
use crate::value::{ValueCurve, ValueLossConfig};

impl Algorithm {
    /// How tokens become one number.
    pub fn aggregation(&self) -> Aggregation {
        match self.aggregation {
            AggregationName::TokenMean => Aggregation::TokenMean,
            AggregationName::SeqMeanTokenSum => Aggregation::SeqMeanTokenSum,
            AggregationName::SeqMeanTokenMean => Aggregation::SeqMeanTokenMean,
            AggregationName::SeqMeanTokenSumNorm => {
                Aggregation::SeqMeanTokenSumNorm(f64::from(self.max_completion_length))
            }
        }
    }

    /// The policy loss of a batch, without the terms of [`kl_in_loss`](Self::kl_in_loss) and
    /// [`entropy_bonus`](Self::entropy_bonus).
    ///
    /// `logp_new` and `batch` are of the elements that [`elements`](Self::elements) returned. `logp_behave`, one per
    /// element, is read by `decoupled` alone, which takes `batch.logp_old` for the proximal policy. Refuses what the loss
    /// refuses, and missing behaviour log-probabilities.
    pub fn policy_loss<F: Lane>(
        &self,
        logp_new: &Tensor,
        batch: &PolicyBatch<'_, F>,
        logp_behave: Option<&[F]>,
    ) -> Result<PolicyLoss> {
        let aggregation = self.aggregation();
        let (clip_low, clip_high) = (self.clip_low, self.clip_high);
        match (self.loss, self.dual_clip) {
            (LossKind::PpoClip, None) => {
                ppo_clip(logp_new, batch, &PpoClip { clip_low, clip_high: Some(clip_high), aggregation })
            }
            (LossKind::PpoClip, Some(dual)) => {
                let config = DualClip { clip_low, clip_high: Some(clip_high), dual_clip: dual, aggregation };
                dual_clip(logp_new, batch, &config)
            }
            (LossKind::Gspo, _) => gspo(logp_new, batch, &Gspo { clip_low, clip_high, aggregation }),
            (LossKind::Cispo, _) => {
                cispo(logp_new, batch, &Cispo { ratio_min: self.ratio_min, ratio_max: self.ratio_max, aggregation })
            }
            (LossKind::Reinforce, _) => reinforce(logp_new, batch, &Reinforce { aggregation }),
            (LossKind::Decoupled, _) => {
                let what = "the log-probabilities of the behaviour policy, beside those of the proximal policy";
                let behave = logp_behave.ok_or(PresetError::Missing { estimator: "decoupled", what })?;
                let cap = self.behaviour_cap;
                let config = Decoupled { clip_low, clip_high: Some(clip_high), cap, aggregation };
                decoupled(logp_new, batch, behave, &config)
            }
        }
    }

    /// The divergence from the reference as a term of the loss, if it has a weight.
    pub fn kl_in_loss(&self) -> Option<KlInLoss> {
        (self.kl_loss_coef != 0.0).then(|| KlInLoss {
            beta: self.kl_loss_coef,
            estimator: self.kl_loss_type,
            aggregation: self.aggregation(),
        })
    }

    /// The entropy bonus, if it has a weight.
    pub fn entropy_bonus(&self) -> Option<EntropyBonus> {
        (self.entropy_coef != 0.0)
            .then(|| EntropyBonus { coefficient: self.entropy_coef, aggregation: self.aggregation() })
    }

    /// The gate that drops the gradients of an update that went too far.
    pub fn kl_gate(&self) -> Option<KlGate> {
        self.kl_gate.map(|threshold| KlGate { threshold })
    }

    /// The weights for samplers whose probabilities differ from the trainer's.
    pub fn sampler_correction(&self) -> Option<Tis> {
        let (mode, min) = (self.sampler_weight_mode, self.sampler_weight_min);
        self.sampler_weight_max.map(|max| Tis { mode, max, min })
    }

    /// The critic's loss; `None` without a critic.
    pub fn value_loss(&self) -> Option<ValueLossConfig> {
        let curve = match (self.value_error, self.compat) {
            (ValueError::Mse, _) => ValueCurve::Mse,
            (ValueError::Huber, Compat::None) => ValueCurve::Huber(self.huber_delta),
            (ValueError::Huber, Compat::MarftV1) => ValueCurve::HuberOneSided(self.huber_delta),
        };
        self.needs_critic().then_some(ValueLossConfig {
            clip: self.value_clip,
            curve,
            coefficient: self.value_coef,
            aggregation: Aggregation::TokenMean,
        })
    }

    /// The rule by which groups that agree are sampled again.
    pub fn dynamic_sampling(&self) -> Option<DynamicSampling> {
        self.dynamic_sampling.then_some(DynamicSampling { max_rounds: self.max_sampling_rounds as usize })
    }

    /// The penalty on answers that come close to the limit.
    pub fn overlong(&self) -> Option<Overlong> {
        self.overlong_buffer.map(|buffer| Overlong {
            max_length: self.max_completion_length as usize,
            buffer: buffer as usize,
            factor: self.overlong_factor,
        })
    }
}
