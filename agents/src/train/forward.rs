//! One pass over a pack: hidden rows where they are needed, log-probabilities, and the way back.
//!
//! With checkpointing a pass keeps the input of every block only, and the way back runs each block once more: a third more
//! arithmetic for activations of one block instead of all.

use marft_torch::rng::{rng_state, set_rng_state};
use marft_torch::{CHUNK_ROWS, GradMode, LoraSegment, backward_from, token_logprobs};
use tch::{Device, Tensor};

use super::error::TrainError;
use super::pack::Pack;
use super::packed_attend::PackedAttend;
use crate::generate::{PolicyId, Segment};
use crate::lora::{LoraAdapter, Run, SegmentAdapters};
use crate::model::{Decoder, Rows, Site};

/// A pass that is about to run.
pub(super) struct Pass<'a> {
    pub(super) decoder: &'a Decoder,
    pub(super) pack: &'a Pack,
    /// Adapters of the rows.
    pub(super) adapters: SegmentAdapters<'a>,
    /// Adapters of the scored tokens, for the head.
    pub(super) head: SegmentAdapters<'a>,
}

/// What blocks have left behind for the way back.
pub(super) struct Kept {
    /// Input of each block.
    inputs: Vec<Tensor>,
    /// State of the CPU's generator before each block, where an adapter drops inputs at random.
    states: Vec<Vec<u8>>,
    /// Output of the last block, a leaf: its gradient is where the way back starts.
    last: Tensor,
}

impl Pass<'_> {
    /// Output of the last block, \[n, hidden\], with its graph where gradients are recorded.
    pub(super) fn blocks(&self) -> Result<Tensor, TrainError> {
        let mut x = self.embed()?;
        let angles = self.decoder.angles(&self.pack.positions);
        let mut attend = PackedAttend::new(&self.pack.sequences);
        for layer in 0..self.decoder.config().layers {
            x = self.decoder.block(layer, &x, &angles, &mut attend, Some(&self.adapters));
        }
        Ok(x)
    }

    /// The same without a graph, keeping what [`back`](Self::back) needs.
    pub(super) fn blocks_kept(&self) -> Result<Kept, TrainError> {
        let _off = GradMode::off();
        let drops = self.adapters.drops_inputs();
        let mut x = self.embed()?;
        let angles = self.decoder.angles(&self.pack.positions);
        let mut attend = PackedAttend::new(&self.pack.sequences);
        let mut kept = Kept { inputs: Vec::new(), states: Vec::new(), last: x.shallow_clone() };
        for layer in 0..self.decoder.config().layers {
            if drops {
                kept.states.push(rng_state(Device::Cpu)?);
            }
            kept.inputs.push(x.shallow_clone());
            x = self.decoder.block(layer, &x, &angles, &mut attend, Some(&self.adapters));
        }
        kept.last = x.detach().set_requires_grad(true);
        Ok(kept)
    }

    /// Collects gradients into every leaf below the last block's output, whose own gradient is there already.
    pub(super) fn back(&self, kept: Kept) -> Result<(), TrainError> {
        let _on = GradMode::on();
        let mut gradient = kept.last.grad();
        if !gradient.defined() {
            return Ok(());
        }
        let angles = self.decoder.angles(&self.pack.positions);
        let mut attend = PackedAttend::new(&self.pack.sequences);
        let end = if kept.states.is_empty() { None } else { Some(rng_state(Device::Cpu)?) };
        let mut inputs = kept.inputs;
        let embedding_trains = self.embed()?.requires_grad();
        while let Some(input) = inputs.pop() {
            let layer = inputs.len();
            let input = input.detach().set_requires_grad(layer > 0 || embedding_trains);
            if let Some(state) = kept.states.get(layer) {
                set_rng_state(Device::Cpu, state)?;
            }
            let output = self.decoder.block(layer, &input, &angles, &mut attend, Some(&self.adapters));
            if output.requires_grad() {
                backward_from(&output, &gradient)?;
            }
            gradient = input.grad();
        }
        if embedding_trains && gradient.defined() {
            backward_from(&self.embed()?, &gradient)?;
        }
        if let Some(end) = end {
            set_rng_state(Device::Cpu, &end)?;
        }
        Ok(())
    }

    /// Final hidden rows \[m, hidden\] that predict the scored tokens, from the last block's output.
    pub(super) fn features(&self, last: &Tensor) -> Tensor {
        self.decoder.finish(&last.index_select(0, &self.pack.sources))
    }

    /// `(log-probabilities, entropies)` of the scored tokens in order of rows, f32 \[m\].
    pub(super) fn logprobs(&self, features: &Tensor, temperature: f64) -> Result<(Tensor, Tensor), TrainError> {
        let head: Vec<LoraSegment<'_>> = self.head.segments(self.decoder.config().layers, Site::Head);
        let weight = self.decoder.head_weight();
        Ok(token_logprobs(features, weight, &self.pack.targets, &head, temperature, CHUNK_ROWS)?)
    }

    fn embed(&self) -> Result<Tensor, TrainError> {
        Ok(self.decoder.embed(Rows { ids: &self.pack.ids, positions: &self.pack.positions })?)
    }
}

impl Kept {
    /// Output of the last block: a leaf.
    pub(super) fn last(&self) -> &Tensor {
        &self.last
    }
}

/// Adapters for rows in `segments`, each looked up by `of`.
pub(super) fn runs<'a>(segments: &[Segment], mut of: impl FnMut(PolicyId) -> Option<&'a LoraAdapter>) -> Vec<Run<'a>> {
    segments.iter().map(|segment| Run { rows: segment.rows.clone(), adapter: of(segment.policy) }).collect()
}
