//! The factors of one adapter at one site: masters that are trained, and the copies that passes read.

use marft_torch::{Factors, GradMode, LoraSegment};
use tch::{Device, Kind, Tensor};

use crate::model::{ModelConfig, Projection, Site};

/// Factors of the targeted projections of one site, one below another.
///
/// Keeping a site's factors in two matrices makes a site one pair of products, and an adapter one short list of parameters.
#[derive(Debug)]
pub struct SiteFactors {
    pub(super) projections: Vec<Projection>,
    /// First column in the site's product and number of columns, per targeted projection.
    pub(super) blocks: Vec<[i64; 2]>,
    pub(super) rank: i64,
    /// f32 \[projections · rank, in\], a leaf.
    pub(super) a: Tensor,
    /// f32 \[sum of columns, rank\], a leaf.
    pub(super) b: Tensor,
    a_copy: Tensor,
    /// `scale` · Bᵀ, \[rank, sum of columns\].
    up: Tensor,
    /// `up` transposed, the same memory.
    b_copy: Tensor,
    scale: f64,
    kind: Kind,
}

impl SiteFactors {
    /// Factors made by `draw` for A (given the projection and its shape) and zero for B; `None` where nothing at `site` is
    /// targeted.
    pub(super) fn new(
        model: &ModelConfig,
        site: Site,
        targeted: impl Fn(Projection) -> bool,
        rank: i64,
        scale: f64,
        (kind, device): (Kind, Device),
        mut draw: impl FnMut(Projection, [i64; 2]) -> Tensor,
    ) -> Option<Self> {
        let (mut projections, mut blocks, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        let mut column = 0;
        for &projection in site.projections() {
            let (input, output) = projection.widths(model);
            let (input, output) = (input as i64, output as i64);
            if targeted(projection) {
                projections.push(projection);
                blocks.push([column, output]);
                parts.push(draw(projection, [rank, input]));
            }
            column += output;
        }
        if projections.is_empty() {
            return None;
        }
        let rows: i64 = blocks.iter().map(|block| block[1]).sum();
        let leaf = |tensor: Tensor| tensor.to_device(device).to_kind(Kind::Float).set_requires_grad(true);
        let a = leaf(Tensor::cat(&parts, 0));
        let b = leaf(Tensor::zeros([rows, rank], (Kind::Float, device)));
        let mut made = Self {
            projections,
            blocks,
            rank,
            a_copy: a.detach(),
            up: b.detach(),
            b_copy: b.detach(),
            a,
            b,
            scale,
            kind,
        };
        made.refresh();
        Some(made)
    }

    /// Makes the copies anew, after the masters have changed.
    pub(super) fn refresh(&mut self) {
        let _off = GradMode::off();
        // In f32 the copy of A is the master itself.
        self.a_copy = self.a.detach().to_kind(self.kind);
        self.up = (self.b.detach().tr() * self.scale).to_kind(self.kind).contiguous();
        self.b_copy = self.up.tr();
    }

    /// Masters A \[r, in\] and B \[out, r\] of one projection, as views.
    pub(super) fn of(&self, projection: Projection) -> Option<(Tensor, Tensor)> {
        let index = self.projections.iter().position(|&own| own == projection)?;
        let row: i64 = self.blocks[..index].iter().map(|block| block[1]).sum();
        let a = self.a.detach().narrow(0, index as i64 * self.rank, self.rank);
        Some((a, self.b.detach().narrow(0, row, self.blocks[index][1])))
    }

    /// The factors as a kernel reads them, for `length` rows from `start`.
    pub fn segment(&self, start: i64, length: i64) -> LoraSegment<'_> {
        LoraSegment {
            start,
            length,
            a: &self.a,
            b: &self.b,
            a_copy: &self.a_copy,
            b_copy: &self.b_copy,
            scale: self.scale,
            rank: self.rank,
            blocks: &self.blocks,
        }
    }

    /// The same for the kernel that records no gradient.
    pub(super) fn thin(&self, start: i64, length: i64) -> Factors<'_> {
        let (start, length, rank) = (start as usize, length as usize, self.rank as usize);
        Factors { start, length, down: &self.a_copy, up: &self.up, rank, blocks: &self.blocks }
    }

    /// Bytes of masters and copies.
    pub(super) fn bytes(&self) -> u64 {
        let masters = (self.a.numel() + self.b.numel()) * 4;
        let width = self.kind.elt_size_in_bytes();
        let a_copy = if self.kind == Kind::Float { 0 } else { self.a_copy.numel() * width };
        (masters + a_copy + self.up.numel() * width) as u64
    }
}
