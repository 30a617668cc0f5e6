//! A decoder-only transformer: weights in memory and the passes through them.

use tch::{Device, Kind, Tensor};

use super::block::Block;
use super::config::ModelConfig;
use super::error::ModelError;
use super::linear::Linear;
use super::norm::RmsNorm;
use super::pass::{Attend, RowAdapters, Rows, adapted};
use super::projection::Site;
use super::rope::{Angles, Rope};

/// How a decoder is put into memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Where weights live and passes run.
    pub device: Device,
    /// The compute type: f32 or bf16.
    pub kind: Kind,
    /// Run linear layers in tiles of [`TILE_ROWS`](super::linear::TILE_ROWS) rows, so that a row's result does not
    /// depend on how many rows share the pass.
    pub tiled: bool,
    /// Keep every linear weight a second time in the layout of the CPU's matrix kernels: twice the memory, faster
    /// passes wherever no gradient flows. Ignored elsewhere than on the CPU.
    pub packed: bool,
}

impl Placement {
    /// f32 on the CPU, tiled: the exact setting.
    pub const EXACT: Self = Self { device: Device::Cpu, kind: Kind::Float, tiled: true, packed: false };
    /// bf16 on the CPU with packed weights: the fast setting.
    pub const FAST: Self = Self { device: Device::Cpu, kind: Kind::BFloat16, tiled: false, packed: true };

    /// Whether passes run on the CPU.
    pub fn on_cpu(self) -> bool {
        self.device == Device::Cpu
    }
}

/// A decoder. One thread owns it; nothing in it changes in a pass.
#[derive(Debug)]
pub struct Decoder {
    pub(super) config: ModelConfig,
    pub(super) placement: Placement,
    pub(super) embedding: Tensor,
    /// As the compute type rounds it.
    pub(super) embedding_scale: Option<f64>,
    pub(super) blocks: Vec<Block>,
    pub(super) norm: RmsNorm,
    /// Shares its weight with `embedding` where the model ties them.
    pub(super) head: Linear,
    pub(super) rope: Rope,
    pub(super) local_rope: Option<Rope>,
}

/// Rotation angles of one pass for both kinds of layers.
#[derive(Debug)]
pub struct PassAngles {
    whole: Angles,
    local: Option<Angles>,
}

impl Decoder {
    /// The shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where and in which type it computes.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Rows through all blocks and the final norm: \[n, hidden\].
    ///
    /// Fails on ids outside the vocabulary and on rows that are not two i64 vectors of one length.
    pub fn hidden(
        &self,
        rows: Rows<'_>,
        attend: &mut dyn Attend,
        adapters: Option<&dyn RowAdapters>,
    ) -> Result<Tensor, ModelError> {
        let angles = self.angles(rows.positions);
        let mut x = self.embed(rows)?;
        for layer in 0..self.blocks.len() {
            x = self.block(layer, &x, &angles, attend, adapters);
        }
        Ok(self.finish(&x))
    }

    /// The first part of [`hidden`](Self::hidden): embeddings of the rows, \[n, hidden\].
    pub fn embed(&self, rows: Rows<'_>) -> Result<Tensor, ModelError> {
        let (ids, positions) = (rows.ids, rows.positions);
        if ids.dim() != 1 || ids.size() != positions.size() || [ids.kind(), positions.kind()] != [Kind::Int64; 2] {
            return Err(ModelError::Torch {
                doing: "reading the rows of a pass".to_owned(),
                reason: format!("ids are {ids:?} and positions {positions:?}, not two i64 vectors of one length"),
            });
        }
        let x = Tensor::f_embedding(&self.embedding, ids, -1, false, false)
            .map_err(|error| ModelError::torch("embedding the token ids", &error))?;
        Ok(match self.embedding_scale {
            Some(scale) => x * scale,
            None => x,
        })
    }

    /// Rotation angles for `positions` \[n\], to be shared by all blocks of a pass.
    pub fn angles(&self, positions: &Tensor) -> PassAngles {
        PassAngles {
            whole: self.rope.angles(positions),
            local: self.local_rope.as_ref().map(|rope| rope.angles(positions)),
        }
    }

    /// One block: \[n, hidden\] to \[n, hidden\]. Public so that training can recompute a block instead of keeping it.
    pub fn block(
        &self,
        layer: usize,
        x: &Tensor,
        angles: &PassAngles,
        attend: &mut dyn Attend,
        adapters: Option<&dyn RowAdapters>,
    ) -> Tensor {
        let angles = match &angles.local {
            Some(local) if self.config.windowed[layer] => local,
            _ => &angles.whole,
        };
        self.blocks[layer].forward(&self.config, layer, x, angles, attend, adapters)
    }

    /// The last part of [`hidden`](Self::hidden): the final norm.
    pub fn finish(&self, x: &Tensor) -> Tensor {
        self.norm.forward(x)
    }

    /// The output head's weight, \[vocab, hidden\].
    pub fn head_weight(&self) -> &Tensor {
        self.head.weight()
    }

    /// Logits \[n, vocab\] in the compute type of `hidden` rows \[n, hidden\].
    pub fn logits(&self, hidden: &Tensor, adapters: Option<&dyn RowAdapters>) -> Tensor {
        adapted(adapters, self.config.layers, Site::Head, hidden, &self.head)
    }
}
