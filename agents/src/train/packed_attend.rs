//! Attention inside each sequence of a pack; a token of a tree sees its ancestors only.

use marft_torch::packed_attention;
use tch::{Device, Kind, Tensor};

use super::pack::Packed;
use crate::model::Attend;

/// Attention for one pass over a pack.
#[derive(Debug)]
pub(super) struct PackedAttend<'a> {
    sequences: &'a [Packed],
    lengths: Vec<i64>,
    /// Masks of the layers with a window, and of those without; made when first needed, for all layers alike.
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
        let sequences = self.sequences;
        let masks = self.masks[usize::from(window.is_some())].get_or_insert_with(|| {
            sequences.iter().map(|sequence| mask(sequence, window, query.kind(), query.device())).collect()
        });
        packed_attention(query, key, value, &self.lengths, masks, scale)
            .unwrap_or_else(|error| panic!("layer {layer}: {error}"))
            .flatten(1, 2)
    }
}

/// What is added to the scores of a sequence, \[t, t\]; `None` where plain causality says it all.
fn mask(sequence: &Packed, window: Option<usize>, kind: Kind, device: Device) -> Option<Tensor> {
    let rows = sequence.rows as usize;
    let window = window.unwrap_or(usize::MAX);
    if sequence.parents.is_none() && rows <= window {
        return None;
    }
    let mut bias = vec![f32::NEG_INFINITY; rows * rows];
    for row in 0..rows {
        // Up the chain of ancestors, the row itself first; a plain sequence is a tree without branches.
        let mut seen = Some(row);
        for _ in 0..window {
            let Some(token) = seen else { break };
            bias[row * rows + token] = 0.0;
            seen = match &sequence.parents {
                Some(parents) => parents[token].map(|parent| parent as usize),
                None => token.checked_sub(1),
            };
        }
    }
    Some(Tensor::from_slice(&bias).view([rows as i64, rows as i64]).to_device(device).to_kind(kind))
}
