//! The attention part of a block: projections, head norms and rotation. Who attends to whom is the caller's.

use tch::Tensor;

use super::config::ModelConfig;
use super::linear::Linear;
use super::norm::RmsNorm;
use super::pass::{Attend, RowAdapters, adapt};
use super::projection::Site;
use super::rope::Angles;

/// Projections of the attention part of one block.
#[derive(Debug)]
pub(crate) struct Attention {
    pub(crate) qkv: Linear,
    pub(crate) output: Linear,
    /// Over query and key heads at once; its weight is \[heads + kv_heads, d\].
    pub(crate) head_norm: Option<RmsNorm>,
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
        let qkv = adapt(adapters, layer, Site::Qkv, x, self.qkv.forward(x)).view([-1, heads + 2 * kv_heads, d]);
        let qk = qkv.narrow(1, 0, heads + kv_heads);
        let value = qkv.narrow(1, heads + kv_heads, kv_heads);
        let qk = match &self.head_norm {
            Some(norm) => angles.rotate(&norm.forward(&qk)),
            None => angles.rotate(&qk),
        };
        let (query, key) = (qk.narrow(1, 0, heads), qk.narrow(1, heads, kv_heads));
        let mixed = attend.attend(layer, &query, &key, &value, config.layer_window(layer), config.query_scale);
        adapt(adapters, layer, Site::Output, &mixed, self.output.forward(&mixed))
    }
}
