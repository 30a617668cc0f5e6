//! The tensors behind the blocks, and attention over them.

use marft_torch::{PagedCache, PagedRows};
use tch::{Device, Kind, Tensor};

use super::blocks::BlockId;
use super::gathered::GatheredCache;
use crate::model::{Attend, Decoder, ModelConfig, ModelError};

/// Keys and values of every layer.
#[derive(Debug)]
pub enum KvStore {
    /// On the CPU: attended where they lie, by the shim's kernel.
    Paged(Vec<PagedCache>),
    /// On any device: gathered for the device's own attention.
    Gathered(Vec<GatheredCache>),
}

/// Positions in a block, on every device.
pub fn block_size() -> usize {
    marft_torch::paged_attention::block_size()
}

/// Bytes of one block over all layers.
pub fn bytes_per_block(config: &ModelConfig, kind: Kind) -> usize {
    config.layers * PagedCache::bytes_per_block(config.kv_heads, config.head_dim, kind)
}

impl KvStore {
    /// Room for `blocks` blocks for the passes of `model`.
    ///
    /// # Errors
    /// The device has no such room.
    pub fn new(model: &Decoder, blocks: usize) -> Result<Self, ModelError> {
        let (config, placement) = (model.config(), model.placement());
        if placement.device != Device::Cpu {
            return Self::gathered(model, blocks);
        }
        let layer = |_| PagedCache::new(blocks, config.kv_heads, config.head_dim, placement.kind);
        let layers = (0..config.layers).map(layer).collect::<Result<_, _>>();
        let refuse =
            |error: marft_torch::Error| ModelError::Torch { doing: making(model, blocks), reason: error.message };
        Ok(Self::Paged(layers.map_err(refuse)?))
    }

    /// The same in the layout that every device can attend to.
    ///
    /// # Errors
    /// The device has no such room.
    pub fn gathered(model: &Decoder, blocks: usize) -> Result<Self, ModelError> {
        let (config, placement) = (model.config(), model.placement());
        let layer = |_| GatheredCache::new(blocks, config.kv_heads, config.head_dim, placement.kind, placement.device);
        let layers = (0..config.layers).map(layer).collect::<Result<_, _>>();
        Ok(Self::Gathered(layers.map_err(|error| ModelError::torch(making(model, blocks), &error))?))
    }

    /// Copies the block `from` over the block `to` in every layer.
    pub fn copy_block(&mut self, from: BlockId, to: BlockId) {
        match self {
            Self::Paged(layers) => layers.iter_mut().for_each(|layer| layer.copy_block(from as usize, to as usize)),
            Self::Gathered(layers) => layers.iter_mut().for_each(|layer| layer.copy_block(from, to)),
        }
    }
}

/// What was being done where there is no room.
fn making(model: &Decoder, blocks: usize) -> String {
    let bytes = blocks.saturating_mul(bytes_per_block(model.config(), model.placement().kind));
    format!("making a key-value cache of {} MiB, which `cache_mib` can make smaller", bytes >> 20)
}

/// The attention of one pass: which rows there are and where their sequences lie.
#[derive(Debug)]
pub struct PagedAttend<'a> {
    /// The cache.
    pub store: &'a mut KvStore,
    /// The rows of the pass.
    pub rows: &'a PagedRows,
}

impl Attend for PagedAttend<'_> {
    fn attend(
        &mut self,
        layer: usize,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        window: Option<usize>,
        scale: f64,
    ) -> Tensor {
        match self.store {
            KvStore::Paged(layers) => layers[layer]
                .attend(query, key, value, self.rows, window, scale)
                .unwrap_or_else(|error| panic!("attention over the cache failed: {error}")),
            KvStore::Gathered(layers) => layers[layer].attend(query, key, value, self.rows, window, scale),
        }
    }
}
