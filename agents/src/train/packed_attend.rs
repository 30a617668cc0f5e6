//! Attention inside each sequence of a pack; a token of a tree sees its ancestors only.

use marft_torch::{masked_attention, packed_attention, seen_rows};
use tch::{Device, Kind, Tensor};

use super::pack::Packed;
use crate::model::Attend;

/// Attention for one pass over a pack.
#[derive(Debug)]
pub(super) struct PackedAttend<'a> {
    sequences: &'a [Packed],
    lengths: Vec<i64>,
    /// What rows see in layers with a window, and in those without; made when first needed, for all layers alike.
    masks: [Option<Vec<Option<Tensor>>>; 2],
}

impl<'a> PackedAttend<'a> {
    pub(super) fn new(sequences: &'a [Packed]) -> Self {
        let lengths = sequences.iter().map(|sequence| sequence.rows).collect();
        Self { sequences, lengths, masks: [None, None] }
    }
}

impl Attend for PackedAttend<'_> {
    fn attend(
        &mut self,
        layer: usize,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        window: Option<usize>,
        scale: f64,
    ) -> Tensor {
        let (sequences, lengths, device) = (self.sequences, &self.lengths[..], query.device());
        let masks = self.masks[usize::from(window.is_some())].get_or_insert_with(|| {
            let mask = |sequence: &Packed| match device {
                Device::Cpu => bits(sequence, window),
                _ => bias(sequence, window, query.kind(), device),
            };
            sequences.iter().map(mask).collect()
        });
        let mixed = match device {
            Device::Cpu => packed_attention(query, key, value, lengths, masks, window, scale),
            _ => masked_attention(query, key, value, lengths, masks, scale),
        };
        mixed.unwrap_or_else(|error| panic!("layer {layer}: {error}")).flatten(1, 2)
    }
}

/// What the rows of a tree see; `None` for a plain sequence, where the window says it all.
fn bits(sequence: &Packed, window: Option<usize>) -> Option<Tensor> {
    sequence.parents.as_ref().map(|_| seen_rows(sequence.rows as usize, |row| seen(sequence, window, row)))
}

/// What is added to the scores of a sequence, \[t, t\]; `None` where plain causality says it all.
fn bias(sequence: &Packed, window: Option<usize>, kind: Kind, device: Device) -> Option<Tensor> {
    let rows = sequence.rows as usize;
    if sequence.parents.is_none() && window.is_none_or(|window| rows <= window) {
        return None;
    }
    let mut bias = vec![f32::NEG_INFINITY; rows * rows];
    for row in 0..rows {
        seen(sequence, window, row).for_each(|token| bias[row * rows + token] = 0.0);
    }
    Some(Tensor::from_slice(&bias).view([rows as i64, rows as i64]).to_device(device).to_kind(kind))
}

/// Up the chain of ancestors, the row itself first; a plain sequence is a tree without branches.
fn seen(sequence: &Packed, window: Option<usize>, row: usize) -> impl Iterator<Item = usize> {
    let parent = |token: &usize| match &sequence.parents {
        Some(parents) => parents[*token].map(|parent| parent as usize),
        None => token.checked_sub(1),
    };
    std::iter::successors(Some(row), parent).take(window.unwrap_or(usize::MAX))
}
