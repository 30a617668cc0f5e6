//! One transformer block: attention and feed-forward, each between norms and a residual sum.

use tch::Tensor;

use super::attention::Attention;
use super::config::ModelConfig;
use super::mlp::Mlp;
use super::norm::RmsNorm;
use super::pass::{Attend, RowAdapters};
use super::rope::Angles;

/// A block. The norms after each part are only there in families that have them.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) attention_norm: RmsNorm,
    pub(crate) attention: Attention,
    pub(crate) attention_post_norm: Option<RmsNorm>,
    pub(crate) mlp_norm: RmsNorm,
    pub(crate) mlp: Mlp,
    pub(crate) mlp_post_norm: Option<RmsNorm>,
}

impl Block {
    pub(crate) fn forward(
        &self,
        config: &ModelConfig,
        layer: usize,
        x: &Tensor,
        angles: &Angles,
        attend: &mut dyn Attend,
        adapters: Option<&dyn RowAdapters>,
    ) -> Tensor {
        let normed = self.attention_norm.forward(x);
        let mixed = self.attention.forward(config, layer, &normed, angles, attend, adapters);
        let mixed = normalised(self.attention_post_norm.as_ref(), mixed);
        let (x, normed) = self.mlp_norm.forward_sum(x, &mixed);
        let inner = self.mlp.forward(layer, &normed, adapters);
        x + normalised(self.mlp_post_norm.as_ref(), inner)
    }
}

fn normalised(norm: Option<&RmsNorm>, x: Tensor) -> Tensor {
    match norm {
        Some(norm) => norm.forward(&x),
        None => x,
    }
}
