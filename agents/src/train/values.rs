//! Values of critics for the scored tokens of a batch.

use tch::{Kind, Tensor};

use super::error::TrainError;
use super::forward::Pass;
use super::pack::Pack;
use super::sequence::TrainSequence;
use super::table::PolicyTable;
use crate::critic::{Critic, CriticHead, CriticId, FeatureKey};
use crate::lora::{LoraAdapter, Run, SegmentAdapters};
use crate::model::Decoder;
use marft_torch::GradMode;

impl PolicyTable {
    /// Values \[m\] in the caller's order, 0 for tokens of sequences without a critic; `None` where no sequence has one.
    pub(super) fn values(
        &mut self,
        decoder: &Decoder,
        batch: &[&TrainSequence],
        training: bool,
    ) -> Result<Option<Tensor>, TrainError> {
        let mut parts: Vec<Option<Tensor>> = batch.iter().map(|_| None).collect();
        let mut wanted: Vec<CriticId> = batch.iter().filter_map(|sequence| Some(sequence.critic?.critic)).collect();
        wanted.sort();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(None);
        }
        for id in wanted {
            let of_critic = |head: CriticHead| head.critic == id;
            let members: Vec<usize> =
                (0..batch.len()).filter(|&index| batch[index].critic.is_some_and(of_critic)).collect();
            let sequences: Vec<_> = members.iter().map(|&index| batch[index]).collect();
            for (index, values) in members.iter().zip(self.values_of(decoder, id, &sequences, training)?) {
                parts[*index] = Some(values);
            }
        }
        let options = (Kind::Float, decoder.placement().device);
        let filled = parts
            .into_iter()
            .zip(batch)
            .map(|(values, sequence)| values.unwrap_or_else(|| Tensor::zeros([sequence.scored.len() as i64], options)));
        Ok(Some(Tensor::cat(&filled.collect::<Vec<_>>(), 0)))
    }

    /// Values of each sequence by one critic.
    fn values_of(
        &mut self,
        decoder: &Decoder,
        id: CriticId,
        sequences: &[&TrainSequence],
        training: bool,
    ) -> Result<Vec<Tensor>, TrainError> {
        for head in sequences.iter().filter_map(|sequence| sequence.critic) {
            if self.critics.get(&id).is_none_or(|critic| head.head >= critic.heads.len()) {
                return Err(TrainError::UnknownCritic { critic: id.0, head: head.head });
            }
        }
        let rows = if self.critics[&id].is_frozen_base() {
            self.frozen_features(decoder, sequences)?
        } else {
            features(decoder, sequences, self.critics[&id].adapter.as_ref(), training)?
        };
        let critic: &Critic = &self.critics[&id];
        let value = |(sequence, rows): (&&TrainSequence, Tensor)| {
            critic.heads[sequence.critic.map_or(0, |head| head.head)].values(&rows)
        };
        Ok(sequences.iter().zip(rows).map(value).collect())
    }

    /// Features of the base as it is, taken from the cache where they are there.
    fn frozen_features(&mut self, decoder: &Decoder, sequences: &[&TrainSequence]) -> Result<Vec<Tensor>, TrainError> {
        let _off = GradMode::off();
        let key =
            |sequence: &TrainSequence| FeatureKey::new(&sequence.ids, &sequence.scored, sequence.parents.as_deref());
        let mut rows: Vec<Option<Tensor>> =
            sequences.iter().map(|sequence| self.features.get(&key(sequence))).collect();
        let missing: Vec<usize> = (0..rows.len()).filter(|&index| rows[index].is_none()).collect();
        let fresh: Vec<_> = missing.iter().map(|&index| sequences[index]).collect();
        for (&index, made) in missing.iter().zip(features(decoder, &fresh, None, false)?) {
            self.features.put(key(sequences[index]), &made);
            rows[index] = Some(made);
        }
        Ok(rows.into_iter().flatten().collect())
    }
}

/// Rows before the scored tokens of each sequence, with one adapter or none on all of them.
fn features(
    decoder: &Decoder,
    sequences: &[&TrainSequence],
    adapter: Option<&LoraAdapter>,
    training: bool,
) -> Result<Vec<Tensor>, TrainError> {
    let pack = Pack::new(sequences, decoder.placement().device)?;
    if pack.is_empty() {
        let empty = || Tensor::zeros([0, decoder.config().hidden as i64], (Kind::Float, decoder.placement().device));
        return Ok(sequences.iter().map(|_| empty()).collect());
    }
    let whole = |rows: usize| SegmentAdapters::new(vec![Run { rows: 0..rows, adapter }], training);
    let (adapters, head) = (whole(pack.ids.numel()), whole(pack.targets.numel()));
    let pass = Pass { decoder, pack: &pack, adapters, head };
    let rows = pack.restored(pass.features(&pass.blocks()?));
    let part = |range: &std::ops::Range<usize>| rows.narrow(0, range.start as i64, range.len() as i64);
    Ok(pack.ranges.iter().map(part).collect())
}
