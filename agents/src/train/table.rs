//! The policies and critics of one device, and what training does with them.

use std::collections::BTreeMap;
use std::ops::Range;

use marft_torch::GradMode;
use tch::{Kind, Tensor};

use super::error::TrainError;
use super::forward::{Pass, runs};
use super::optimizer::{OptimizerConfig, UpdateReport};
use super::pack::Pack;
use super::policy::{Policy, PolicySpec};
use super::sequence::{TrainSequence, micro_batches};
use crate::critic::{Critic, CriticConfig, CriticId, FEATURE_BYTES, FeatureCache};
use crate::generate::{Policies, PolicyId, Segment};
use crate::lora::{LoraAdapter, SegmentAdapters};
use crate::model::{Decoder, RowAdapters};

/// What a loss is computed from: one entry per scored token, sequence after sequence in the order of the call.
#[derive(Debug)]
pub struct TrainOutputs {
    /// Log-probabilities, f32 \[m\], with their graph.
    pub logprobs: Tensor,
    /// Entropies in nats, f32 \[m\], with their graph.
    pub entropies: Tensor,
    /// Values before each scored token, f32 \[m\], with their graph; 0 in sequences without a critic. `None` where no
    /// sequence names one.
    pub values: Option<Tensor>,
    /// Where each sequence of the call stands among the m.
    pub ranges: Vec<Range<usize>>,
}

/// Makes a scalar loss of the outputs of a pass.
pub type LossFn = Box<dyn FnOnce(&TrainOutputs) -> Result<Tensor, Box<dyn std::error::Error + Send + Sync>> + Send>;

/// How a pass runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PassOptions {
    /// Logits are divided by this before the softmax.
    pub temperature: f64,
    /// Recompute each block on the way back instead of keeping its activations.
    pub checkpointing: bool,
    /// Rows of a pass when scoring; training runs what it is given in one pass.
    pub batch_tokens: usize,
}

impl Default for PassOptions {
    fn default() -> Self {
        Self { temperature: 1.0, checkpointing: false, batch_tokens: 4096 }
    }
}

/// What one accumulation did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PassReport {
    /// The loss.
    pub loss: f64,
    /// Tokens that went through the model.
    pub rows: usize,
    /// Tokens that were scored.
    pub scored: usize,
}

/// Scores of one sequence: an entry per scored token.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SequenceScores {
    /// Log-probabilities.
    pub logprobs: Vec<f32>,
    /// Entropies in nats.
    pub entropies: Vec<f32>,
    /// Values, where the sequence names a critic.
    pub values: Option<Vec<f32>>,
}

/// The policies and critics of one device.
#[derive(Debug)]
pub struct PolicyTable {
    pub(super) policies: BTreeMap<PolicyId, Policy>,
    pub(super) critics: BTreeMap<CriticId, Critic>,
    pub(super) features: FeatureCache,
}

impl Default for PolicyTable {
    fn default() -> Self {
        Self::new(FEATURE_BYTES)
    }
}

impl PolicyTable {
    /// An empty table that keeps at most `feature_bytes` of critic features between passes.
    pub fn new(feature_bytes: u64) -> Self {
        Self { policies: BTreeMap::new(), critics: BTreeMap::new(), features: FeatureCache::new(feature_bytes) }
    }

    /// Adds a policy.
    pub fn add(&mut self, id: PolicyId, spec: &PolicySpec, decoder: &mut Decoder) -> Result<(), TrainError> {
        self.vacant(id)?;
        if matches!(spec, PolicySpec::Full { .. }) && self.policies.values().any(Policy::is_full) {
            let reason = "the base of a device can be trained by one policy only".to_owned();
            return Err(TrainError::Setting { key: "full", reason });
        }
        self.policies.insert(id, Policy::new(spec, decoder)?);
        Ok(())
    }

    /// Adds a policy around an adapter that was loaded.
    pub fn add_adapter(
        &mut self,
        id: PolicyId,
        adapter: LoraAdapter,
        optimizer: Option<OptimizerConfig>,
    ) -> Result<(), TrainError> {
        self.vacant(id)?;
        self.policies.insert(id, Policy::with_adapter(adapter, optimizer)?);
        Ok(())
    }

    fn vacant(&self, id: PolicyId) -> Result<(), TrainError> {
        if self.policies.contains_key(&id) { Err(TrainError::PolicyExists(id)) } else { Ok(()) }
    }

    /// Takes a policy away, with everything it owns.
    pub fn remove(&mut self, id: PolicyId) -> Option<Policy> {
        self.policies.remove(&id)
    }

    /// Adds or replaces a critic.
    pub fn set_critic(
        &mut self,
        id: CriticId,
        config: &CriticConfig,
        decoder: &Decoder,
        seed: u64,
    ) -> Result<(), TrainError> {
        self.critics.insert(id, Critic::new(config, decoder.config(), decoder.placement(), seed)?);
        Ok(())
    }

    /// A policy.
    pub fn policy(&self, id: PolicyId) -> Result<&Policy, TrainError> {
        self.policies.get(&id).ok_or(TrainError::UnknownPolicy(id))
    }

    pub(super) fn policy_mut(&mut self, id: PolicyId) -> Result<&mut Policy, TrainError> {
        self.policies.get_mut(&id).ok_or(TrainError::UnknownPolicy(id))
    }

    /// Bytes of all policies beside the base.
    pub fn bytes(&self) -> u64 {
        self.policies.values().map(Policy::bytes).sum()
    }

    /// Scores of sequences, without a gradient.
    pub fn score(
        &mut self,
        decoder: &Decoder,
        sequences: &[TrainSequence],
        options: PassOptions,
    ) -> Result<Vec<SequenceScores>, TrainError> {
        let _off = GradMode::off();
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
        let mut scores = Vec::with_capacity(sequences.len());
        for batch in micro_batches(&lengths, options.batch_tokens) {
            let batch: Vec<_> = batch.into_iter().map(|index| &sequences[index]).collect();
            let pack = Pack::new(&batch, decoder.placement().device)?;
            if pack.is_empty() {
                scores.extend(batch.iter().map(|_| SequenceScores::default()));
                continue;
            }
            let pass = self.pass(decoder, &pack, false)?;
            let features = pass.features(&pass.blocks()?);
            let (logprobs, entropies) = pass.logprobs(&features, options.temperature)?;
            let values = self.values(decoder, &batch, false)?;
            let numbers = |results: Tensor| to_numbers(&pack.restored(results));
            let (logprobs, entropies) = (numbers(logprobs)?, numbers(entropies)?);
            let values = values.map(|values| to_numbers(&values)).transpose()?;
            for (sequence, range) in batch.iter().zip(&pack.ranges) {
                let part = |all: &Vec<f32>| all[range.clone()].to_vec();
                let values = sequence.critic.and(values.as_ref()).map(part);
                scores.push(SequenceScores { logprobs: part(&logprobs), entropies: part(&entropies), values });
            }
        }
        Ok(scores)
    }

    /// Runs sequences of any policies in one pass, makes a loss of the outcome, and collects its gradients in the adapters,
    /// critics and weights that have a part in it. [`update`](Self::update) applies them.
    ///
    /// On an error nothing is applied, but gradients of this pass may have been collected in part: call
    /// [`discard`](Self::discard) before going on.
    pub fn accumulate(
        &mut self,
        decoder: &Decoder,
        sequences: &[TrainSequence],
        options: PassOptions,
        loss: LossFn,
    ) -> Result<PassReport, TrainError> {
        let _on = GradMode::on();
        let batch: Vec<_> = sequences.iter().collect();
        let pack = Pack::new(&batch, decoder.placement().device)?;
        if pack.is_empty() {
            return Ok(PassReport { loss: 0.0, rows: 0, scored: 0 });
        }
        let values = self.values(decoder, &batch, true)?;
        let pass = self.pass(decoder, &pack, true)?;
        let kept = if options.checkpointing { Some(pass.blocks_kept()?) } else { None };
        let features = match &kept {
            Some(kept) => pass.features(kept.last()),
            None => pass.features(&pass.blocks()?),
        };
        let (logprobs, entropies) = pass.logprobs(&features, options.temperature)?;
        let outputs = TrainOutputs {
            logprobs: pack.restored(logprobs),
            entropies: pack.restored(entropies),
            values,
            ranges: pack.ranges.clone(),
        };
        let loss = loss(&outputs).map_err(TrainError::Loss)?;
        let value = finite_scalar(&loss)?;
        if loss.requires_grad() {
            loss.f_backward().map_err(|error| TrainError::torch("the way back from the loss", &error))?;
        }
        if let Some(kept) = kept {
            pass.back(kept)?;
        }
        drop(pass);
        for policy in self.policies.values_mut() {
            policy.gather()?;
        }
        Ok(PassReport { loss: value, rows: pack.ids.numel(), scored: pack.targets.numel() })
    }

    /// Applies the gradients that a policy has collected since its last update, and drops them.
    pub fn update(&mut self, id: PolicyId) -> Result<UpdateReport, TrainError> {
        let policy = self.policy_mut(id)?;
        let full = policy.is_full();
        let report = policy.update(&id.to_string())?;
        if full {
            self.features.clear();
        }
        Ok(report)
    }

    /// Applies the gradients that a critic has collected since its last update, and drops them.
    pub fn update_critic(&mut self, id: CriticId) -> Result<UpdateReport, TrainError> {
        let critic = self.critics.get_mut(&id).ok_or(TrainError::UnknownCritic { critic: id.0, head: 0 })?;
        let report = critic.optimizer.step_leaves()?;
        if let Some(adapter) = &mut critic.adapter {
            adapter.refresh();
        }
        Ok(report)
    }

    /// Drops every gradient collected since the last updates.
    pub fn discard(&mut self) -> Result<(), TrainError> {
        for policy in self.policies.values_mut() {
            policy.discard()?;
        }
        for critic in self.critics.values() {
            marft_torch::clear_gradients(&critic.optimizer.parameters)?;
        }
        Ok(())
    }

    fn pass<'a>(&'a self, decoder: &'a Decoder, pack: &'a Pack, training: bool) -> Result<Pass<'a>, TrainError> {
        for segment in &pack.segments {
            self.policy(segment.policy)?;
        }
        let of = |id: PolicyId| self.policies.get(&id).and_then(Policy::adapter);
        Ok(Pass {
            decoder,
            pack,
            adapters: SegmentAdapters::new(runs(&pack.segments, of), training),
            head: SegmentAdapters::new(runs(&pack.scored_segments, of), training),
        })
    }
}

impl Policies for PolicyTable {
    fn version(&self, policy: PolicyId) -> Option<u64> {
        Some(self.policies.get(&policy)?.version())
    }

    fn owns_base(&self, policy: PolicyId) -> bool {
        self.policies.get(&policy).is_some_and(Policy::is_full)
    }

    fn adapters<'a>(&'a self, segments: &[Segment]) -> Option<Box<dyn RowAdapters + 'a>> {
        let runs = runs(segments, |id| self.policies.get(&id).and_then(Policy::adapter));
        if runs.iter().all(|run| run.adapter.is_none()) {
            return None;
        }
        Some(Box::new(SegmentAdapters::new(runs, false)))
    }
}

fn finite_scalar(loss: &Tensor) -> Result<f64, TrainError> {
    if loss.numel() != 1 {
        return Err(TrainError::BadLoss { found: format!("a tensor of shape {:?}", loss.size()) });
    }
    let value = loss.detach().to_kind(Kind::Double).double_value(&[]);
    if value.is_finite() { Ok(value) } else { Err(TrainError::BadLoss { found: value.to_string() }) }
}

fn to_numbers(results: &Tensor) -> Result<Vec<f32>, TrainError> {
    Vec::try_from(results.detach()).map_err(|error| TrainError::torch("reading the results of a pass", &error))
}
