//! A linear layer whose low-rank part is chosen per run of rows, as one node of the graph with f32 gradients of the masters.

use std::ffi::{c_double, c_int};
use std::ptr::null_mut;

use tch::Tensor;

use crate::error::{Handle, Result, handle, optional, take};

/// A projection inside a joined layer: its first column, and how many.
pub type Block = [i64; 2];

/// A run of rows and the adapter it takes at one layer.
///
/// A layer joins one or more projections side by side; the adapter targets some of them, its `blocks`, each with its own
/// factors of `rank`.
#[derive(Debug, Clone, Copy)]
pub struct LoraSegment<'a> {
    /// First row.
    pub start: i64,
    /// Rows.
    pub length: i64,
    /// Master A, f32 \[blocks · rank, in\]: the factors of the blocks one below another.
    pub a: &'a Tensor,
    /// Master B, f32 \[columns of all blocks, rank\]: likewise.
    pub b: &'a Tensor,
    /// A in the compute type.
    pub a_copy: &'a Tensor,
    /// `scale` · B in the compute type.
    pub b_copy: &'a Tensor,
    /// What the low-rank product is multiplied by.
    pub scale: f64,
    /// Rank of each block.
    pub rank: i64,
    /// The projections the adapter targets, in order.
    pub blocks: &'a [Block],
}

/// [`LoraSegment`] as C++ reads it.
#[repr(C)]
pub(crate) struct RawSegment {
    a: Handle,
    b: Handle,
    a_copy: Handle,
    b_copy: Handle,
    scale: c_double,
    start: i64,
    length: i64,
    rank: i64,
    blocks: *const Block,
    block_count: usize,
}

/// The segments as C++ reads them; they borrow from `segments` and must not outlive it.
pub(crate) fn raw(segments: &[LoraSegment<'_>]) -> Vec<RawSegment> {
    let one = |segment: &LoraSegment<'_>| RawSegment {
        a: handle(segment.a),
        b: handle(segment.b),
        a_copy: handle(segment.a_copy),
        b_copy: handle(segment.b_copy),
        scale: segment.scale,
        start: segment.start,
        length: segment.length,
        rank: segment.rank,
        blocks: segment.blocks.as_ptr(),
        block_count: segment.blocks.len(),
    };
    segments.iter().map(one).collect()
}

unsafe extern "C" {
    fn marft_lora_linear(
        x: Handle,
        low_x: Handle,
        weight: Handle,
        bias: Handle,
        segments: *const RawSegment,
        count: usize,
        out: *mut Handle,
    ) -> c_int;
}

/// `x` \[n, in\] · `weight`ᵀ (+ `bias`), and for the rows of each segment `scale · x·Aᵀ·Bᵀ`: \[n, out\].
///
/// The gradient reaches `x`, the masters `a` and `b`, and the weight and bias if they ask for it; the copies are constants.
/// `low_x` replaces `x` in the low-rank part, for dropout. Segments are in order of rows and do not overlap; rows between
/// them get the base alone.
pub fn lora_linear(
    x: &Tensor,
    low_x: Option<&Tensor>,
    weight: &Tensor,
    bias: Option<&Tensor>,
    segments: &[LoraSegment<'_>],
) -> Result<Tensor> {
    let raw = raw(segments);
    let pointer = if raw.is_empty() { null_mut() } else { raw.as_ptr().cast_mut() };
    let [out] = take("lora_linear", |out| {
        // SAFETY: live handles or null; `raw` holds live handles and slices for the duration of the call. The entry checks
        // that all fit, and fills the one slot on success.
        unsafe {
            marft_lora_linear(
                handle(x),
                optional(low_x),
                handle(weight),
                optional(bias),
                pointer,
                raw.len(),
                out.as_mut_ptr(),
            )
        }
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    const F32: (Kind, Device) = (Kind::Float, Device::Cpu);
    /// Two projections of 5 and 3 columns in a layer of 10; the adapter leaves the last two columns alone.
    const BLOCKS: [Block; 2] = [[0, 5], [5, 3]];

    struct Adapter {
        a: Tensor,
        b: Tensor,
    }

    impl Adapter {
        fn new() -> Self {
            let leaf = |shape: [i64; 2]| Tensor::randn(shape, F32).set_requires_grad(true);
            Self { a: leaf([4, 6]), b: leaf([8, 2]) }
        }

        fn copies(&self, scale: f64) -> (Tensor, Tensor) {
            (self.a.detach().copy(), self.b.detach() * scale)
        }

        fn plain(&self, x: &Tensor, scale: f64) -> Tensor {
            let part = |row, b_row, columns| {
                x.matmul(&self.a.narrow(0, row, 2).tr()).matmul(&self.b.narrow(0, b_row, columns).tr()) * scale
            };
            Tensor::cat(&[part(0, 0, 5), part(2, 5, 3), Tensor::zeros([x.size()[0], 2], F32)], 1)
        }
    }

    #[test]
    fn mixed_rows_equal_plain_arithmetic_with_gradients() {
        let (one, two) = (Adapter::new(), Adapter::new());
        let weight = Tensor::randn([10, 6], F32).set_requires_grad(true);
        let bias = Tensor::randn([10], F32).set_requires_grad(true);
        let x = Tensor::randn([9, 6], F32).set_requires_grad(true);
        let copies: Vec<_> = [&one, &two].iter().map(|adapter| adapter.copies(0.5)).collect();
        let segment = |i: usize, adapter: &'static str, start, length| {
            let adapter = if adapter == "one" { &one } else { &two };
            LoraSegment {
                start,
                length,
                a: &adapter.a,
                b: &adapter.b,
                a_copy: &copies[i].0,
                b_copy: &copies[i].1,
                scale: 0.5,
                rank: 2,
                blocks: &BLOCKS,
            }
        };
        // Rows 0..3 one, 3..4 base alone, 4..9 two.
        let segments = [segment(0, "one", 0, 3), segment(1, "two", 4, 5)];
        let fused = lora_linear(&x, None, &weight, Some(&bias), &segments).unwrap();
        let low = [one.plain(&x.narrow(0, 0, 3), 0.5), Tensor::zeros([1, 10], F32), two.plain(&x.narrow(0, 4, 5), 0.5)];
        let plain = x.linear(&weight, Some(&bias)) + Tensor::cat(&low, 0);
        assert!(fused.allclose(&plain, 1e-5, 1e-5, false));

        let leaves = [&x, &weight, &bias, &one.a, &one.b, &two.a, &two.b];
        let direction = Tensor::randn([9, 10], F32);
        let grads = |out: &Tensor| Tensor::run_backward(&[(out * &direction).sum(Kind::Float)], &leaves, false, false);
        for (left, right) in grads(&fused).iter().zip(grads(&plain)) {
            assert!(left.allclose(&right, 1e-4, 1e-5, false), "{left:?}");
        }
    }

    #[test]
    fn rows_for_the_low_rank_part_may_differ() {
        let adapter = Adapter::new();
        let (x, dropped) = (Tensor::randn([3, 6], F32).set_requires_grad(true), Tensor::randn([3, 6], F32));
        let dropped = dropped.set_requires_grad(true);
        let weight = Tensor::randn([10, 6], F32);
        let (a_copy, b_copy) = adapter.copies(1.0);
        let (a, b) = (&adapter.a, &adapter.b);
        let segment = LoraSegment {
            start: 0,
            length: 3,
            a,
            b,
            a_copy: &a_copy,
            b_copy: &b_copy,
            scale: 1.0,
            rank: 2,
            blocks: &BLOCKS,
        };
        let fused = lora_linear(&x, Some(&dropped), &weight, None, &[segment]).unwrap();
        let plain = x.matmul(&weight.tr()) + adapter.plain(&dropped, 1.0);
        assert!(fused.allclose(&plain, 1e-5, 1e-5, false));
        let leaves = [&x, &dropped, a, b];
        let grads = |out: &Tensor| Tensor::run_backward(&[out.square().sum(Kind::Float)], &leaves, false, false);
        for (left, right) in grads(&fused).iter().zip(grads(&plain)) {
            assert!(left.allclose(&right, 1e-4, 1e-4, false));
        }
    }

    #[test]
    fn a_frozen_layer_keeps_no_gradient() {
        let (x, weight) = (Tensor::randn([3, 6], F32), Tensor::randn([10, 6], F32));
        assert!(!lora_linear(&x, None, &weight, None, &[]).unwrap().requires_grad());
    }

    #[test]
    fn segments_that_do_not_fit_are_refused() {
        let adapter = Adapter::new();
        let (a_copy, b_copy) = adapter.copies(1.0);
        let (x, weight) = (Tensor::randn([3, 6], F32), Tensor::randn([10, 6], F32));
        let (a, b) = (&adapter.a, &adapter.b);
        let good = LoraSegment {
            start: 0,
            length: 3,
            a,
            b,
            a_copy: &a_copy,
            b_copy: &b_copy,
            scale: 1.0,
            rank: 2,
            blocks: &BLOCKS,
        };
        for bad in [
            LoraSegment { length: 4, ..good },
            LoraSegment { start: -1, ..good },
            LoraSegment { blocks: &[[0, 5], [8, 3]], ..good },
            LoraSegment { b_copy: &a_copy, ..good },
            LoraSegment { rank: 3, ..good },
        ] {
            assert!(lora_linear(&x, None, &weight, None, &[bad]).is_err(), "{bad:?}");
        }
        assert!(lora_linear(&x, None, &weight, None, &[good, good]).is_err(), "overlap");
    }
}
