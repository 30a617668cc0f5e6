//! What a forward pass is given: rows of tokens, a rule of attention, adapters per row.
//!
//! Tokens are rows. Which sequence, which episode and which policy a row belongs to is known to the two traits and to
//! nobody else, so any mix of sequences and policies shares every matrix product.

use std::ops::Range;

use tch::Tensor;

use super::linear::Linear;
use super::projection::Site;

/// The tokens of a pass.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Token ids, \[n\], i64.
    pub ids: &'a Tensor,
    /// Position of each token in its own sequence, \[n\], i64.
    pub positions: &'a Tensor,
}

/// Who attends to whom, and where earlier keys and values are kept.
pub trait Attend {
    /// Attention of one layer. `query` is \[n, heads, d\]; `key` and `value` are \[n, kv_heads, d\]; query and key are
    /// already rotated, and none need be contiguous. With `window`, a token sees itself and `window − 1` tokens before
    /// it. Scores are multiplied by `scale`. Returns \[n, heads · d\].
    fn attend(
        &mut self,
        layer: usize,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        window: Option<usize>,
        scale: f64,
    ) -> Tensor;
}

/// Low-rank parts added to the linear layers, chosen per row.
pub trait RowAdapters {
    /// Adds to `out` \[n, out\], the product at `site` of `layer`, what the adapters make of its input `x` \[n, in\].
    /// The columns of `out` are those of [`Site::projections`] side by side.
    fn add(&self, layer: usize, site: Site, x: &Tensor, out: Tensor) -> Tensor;

    /// The product of `linear` with the low-rank parts added: what a pass calls. An implementation that records gradients
    /// replaces it by one that makes a single node of both.
    fn linear(&self, layer: usize, site: Site, x: &Tensor, linear: &Linear) -> Tensor {
        self.add(layer, site, x, linear.forward(x))
    }
}

/// Makes the adapters of some rows of a pass, counted from the first of them.
pub type AdaptersOf<'a> = dyn Fn(Range<usize>) -> Box<dyn RowAdapters + 'a> + 'a;

/// The product of `linear`, with what the adapters add where there are any.
pub(crate) fn adapted(
    adapters: Option<&dyn RowAdapters>,
    layer: usize,
    site: Site,
    x: &Tensor,
    linear: &Linear,
) -> Tensor {
    match adapters {
        Some(adapters) => adapters.linear(layer, site, x, linear),
        None => linear.forward(x),
    }
}
