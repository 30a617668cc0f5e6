//! RMSNorm with statistics in f32 whatever the compute type.

use marft_torch::rows::{add_rms_norm, rms_norm};
use tch::{Kind, Tensor};

/// Root-mean-square normalisation over the last dimension.
#[derive(Debug)]
pub(crate) struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// A norm with the effective `weight` (one already added where a family stores the distance from one), kept in f32.
    pub(crate) fn new(weight: &Tensor, eps: f64) -> Self {
        Self { weight: weight.to_kind(Kind::Float), eps }
    }

    /// The effective weight in f32.
    pub(crate) fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// Makes the weight a leaf that collects gradients, and returns it.
    pub(crate) fn train(&mut self) -> Tensor {
        self.weight = self.weight.set_requires_grad(true);
        self.weight.shallow_clone()
    }

    /// Normalises rows of the weight's shape; the result has the type of `x`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        rms_norm(x, &self.weight, self.eps)
            .unwrap_or_else(|error| panic!("a norm met rows that are not its own: {error}"))
    }

    /// `sum = x + delta`, and the normalised sum.
    pub(crate) fn forward_sum(&self, x: &Tensor, delta: &Tensor) -> (Tensor, Tensor) {
        add_rms_norm(x, delta, &self.weight, self.eps)
            .unwrap_or_else(|error| panic!("a norm met rows that are not its own: {error}"))
    }
}
