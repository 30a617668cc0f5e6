//! The attention part of a block: projections, head norms and rotation. Who attends to whom is the caller's.

use tch::Tensor;

use super::config::ModelConfig;
use super::head_norm::HeadNorm;
use super::linear::Linear;
use super::pass::{Attend, RowAdapters, adapted};
use super::projection::Site;
use super::rope::Angles;

/// Projections of the attention part of one block.
#[derive(Debug)]
pub(crate) struct Attention {
    pub(crate) qkv: Linear,
    pub(crate) output: Linear,
    /// Over query and key heads at once.
    pub(crate) head_norm: Option<HeadNorm>,
}

impl Attention {
    pub(crate) fn forward(
        &self,
        config: &ModelConfig,
        layer: usize,
        x: &Tensor,
        angles: &Angles,
        attend: &mut dyn Attend,
        adapters: Option<&dyn RowAdapters>,
    ) -> Tensor {
        let (heads, kv_heads, d) = (config.heads as i64, config.kv_heads as i64, config.head_dim as i64);
        let qkv = adapted(adapters, layer, Site::Qkv, x, &self.qkv).view([-1, heads + 2 * kv_heads, d]);
        let (query, key, value) = match &self.head_norm {
            None => angles.split(&qkv, heads, kv_heads),
            Some(norm) => {
                let parts = qkv.split_with_sizes([heads + kv_heads, kv_heads], 1);
                let (query, key, _) = angles.split(&norm.forward(&parts[0]), heads, kv_heads);
                (query, key, parts[1].shallow_clone())
            }
        };
        let mixed = attend.attend(layer, &query, &key, &value, config.layer_window(layer), config.query_scale);
        adapted(adapters, layer, Site::Output, &mixed, &self.output)
    }
}
