//! The gated feed-forward part of a block.

use marft_torch::rows::{Gate, gated};
use tch::Tensor;

use super::config::Activation;
use super::linear::Linear;
use super::pass::{RowAdapters, adapted};
use super::projection::Site;

/// `down(activation(gate(x)) · up(x))`.
#[derive(Debug)]
pub(crate) struct Mlp {
    pub(crate) gate_up: Linear,
    pub(crate) down: Linear,
    pub(crate) activation: Activation,
}

impl Mlp {
    pub(crate) fn forward(&self, layer: usize, x: &Tensor, adapters: Option<&dyn RowAdapters>) -> Tensor {
        let gate_up = adapted(adapters, layer, Site::GateUp, x, &self.gate_up);
        let gate = match self.activation {
            Activation::Silu => Gate::Silu,
            Activation::GeluTanh => Gate::GeluTanh,
        };
        let inner = gated(&gate_up, gate).unwrap_or_else(|error| panic!("layer {layer}: {error}"));
        adapted(adapters, layer, Site::Down, &inner, &self.down)
    }
}
