//! The gated feed-forward part of a block.

use tch::Tensor;

use super::config::Activation;
use super::linear::Linear;
use super::pass::{RowAdapters, adapt};
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
        let gate_up = adapt(adapters, layer, Site::GateUp, x, self.gate_up.forward(x));
        let width = gate_up.size()[1] / 2;
        let gate = gate_up.narrow(1, 0, width);
        let gate = match self.activation {
            Activation::Silu => gate.silu(),
            Activation::GeluTanh => gate.gelu("tanh"),
        };
        let inner = gate * gate_up.narrow(1, width, width);
        adapt(adapters, layer, Site::Down, &inner, self.down.forward(&inner))
    }
}
