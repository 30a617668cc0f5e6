//! One linear layer: a frozen or trainable weight, possibly several projections side by side.

use marft_torch::PackedWeight;
use tch::Tensor;

use super::decoder::Placement;
use super::error::ModelError;

/// Rows in a tile when results must not depend on how many rows share a pass.
///
/// Matrix kernels are chosen by row count, so a row's last bits depend on its neighbours' number, though not on their
/// values: at one fixed count every row comes out the same wherever it stands.
pub const TILE_ROWS: i64 = 64;

/// A linear layer `x·Wᵀ + b`.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
    /// The weight once more in the layout of the CPU's matrix kernels; used wherever no gradient flows.
    packed: Option<PackedWeight>,
    tiled: bool,
}

impl Linear {
    /// A layer of `weight` \[out, in\] and `bias` \[out\], run as `placement` says.
    pub fn new(weight: Tensor, bias: Option<Tensor>, placement: Placement) -> Result<Self, ModelError> {
        let packed = if placement.packed && placement.on_cpu() {
            let packed = PackedWeight::new(&weight, None);
            Some(packed.map_err(|error| ModelError::Torch {
                doing: "packing a weight".to_owned(),
                reason: error.to_string(),
            })?)
        } else {
            None
        };
        Ok(Self { weight, bias, packed, tiled: placement.tiled })
    }

    /// The weight, \[out, in\].
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The bias, \[out\].
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// Whether the weight is kept a second time, packed.
    pub fn is_packed(&self) -> bool {
        self.packed.is_some()
    }

    /// Rows \[n, in\] to rows \[n, out\]. Gradients reach `x`, and the weight where it is trainable.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        if self.tiled { self.tiles(x) } else { self.product(x) }
    }

    /// Makes weight and bias leaves that collect gradients; the packed copy would go stale and is dropped.
    pub(crate) fn train(&mut self) {
        self.packed = None;
        self.weight = self.weight.set_requires_grad(true);
        self.bias = self.bias.as_ref().map(|bias| bias.set_requires_grad(true));
    }

    fn product(&self, x: &Tensor) -> Tensor {
        match &self.packed {
            Some(packed) if !x.requires_grad() => packed
                .linear(x, self.bias.as_ref())
                .unwrap_or_else(|error| panic!("a layer met rows that are not its own: {error}")),
            _ => x.linear(&self.weight, self.bias.as_ref()),
        }
    }

    fn tiles(&self, x: &Tensor) -> Tensor {
        let rows = x.size()[0];
        let padding = (TILE_ROWS - rows % TILE_ROWS) % TILE_ROWS;
        let padded = if padding == 0 { x.shallow_clone() } else { x.constant_pad_nd([0, 0, 0, padding]) };
        let tiles: Vec<Tensor> = padded.split(TILE_ROWS, 0).iter().map(|tile| self.product(tile)).collect();
        if let [tile] = &tiles[..] { tile.narrow(0, 0, rows) } else { Tensor::cat(&tiles, 0).narrow(0, 0, rows) }
    }
}
