//! The low-rank parts of a batch in which runs of rows take different adapters, without gradients.
//!
//! This is what makes many adapters in one batch of generation cheap; training records gradients through
//! `lora_linear` instead. On the CPU it is one kernel; elsewhere it is libtorch's own products, a pair for each run and block.

use std::ffi::c_int;

use tch::{Device, TchError, Tensor};

use crate::error::{Error, Handle, Result, check, handle};
use crate::lora_linear::Block;
use crate::runtime::GradMode;

/// [`Factors`] as C++ reads it.
#[repr(C)]
struct RawFactors {
    down: Handle,
    up: Handle,
    start: i64,
    length: i64,
    rank: i64,
    columns: *const Block,
    blocks: usize,
}

unsafe extern "C" {
    fn marft_segment_lora(out: Handle, x: Handle, factors: *const RawFactors, count: usize) -> c_int;
}

/// A run of rows and the adapter it takes at one layer.
#[derive(Debug, Clone, Copy)]
pub struct Factors<'a> {
    /// First row.
    pub start: usize,
    /// Rows.
    pub length: usize,
    /// A in the compute type, \[blocks · rank, in\]: the factors of the blocks one below another.
    pub down: &'a Tensor,
    /// `scale` · Bᵀ in the compute type, \[rank, columns of all blocks\]: the factors of the blocks side by side.
    pub up: &'a Tensor,
    /// Rank of each block.
    pub rank: usize,
    /// The projections the adapter targets, in order.
    pub blocks: &'a [Block],
}

/// Adds to `out` \[n, out\], in place, what each run's adapter makes of its rows of `x` \[n, in\]. Runs are in order and apart;
/// rows outside of them stay as they are. A row's result is the same bits whatever rows stand beside it.
pub fn add_segments(out: &mut Tensor, x: &Tensor, factors: &[Factors<'_>]) -> Result<()> {
    if out.device() != Device::Cpu {
        return add_products(out, x, factors);
    }
    let raw: Vec<RawFactors> = factors
        .iter()
        .map(|f| RawFactors {
            down: handle(f.down),
            up: handle(f.up),
            start: f.start as i64,
            length: f.length as i64,
            rank: f.rank as i64,
            columns: f.blocks.as_ptr(),
            blocks: f.blocks.len(),
        })
        .collect();
    // SAFETY: live handles and slices, which outlive the call; kinds, shapes, runs and columns are checked by the entry before
    // it reads or writes. It writes into the storage of `out`, borrowed exclusively.
    check(unsafe { marft_segment_lora(handle(out), handle(x), raw.as_ptr(), raw.len()) }, "segment_lora")
}

/// [`add_segments`] by products of libtorch, on any device.
fn add_products(out: &Tensor, x: &Tensor, factors: &[Factors<'_>]) -> Result<()> {
    let _off = GradMode::off();
    let run = |f: &Factors<'_>| -> std::result::Result<(), TchError> {
        let (start, length, rank) = (f.start as i64, f.length as i64, f.rank as i64);
        let low = x.f_narrow(0, start, length)?.f_matmul(&f.down.f_tr()?)?;
        let mut column = 0;
        for (index, &[first, width]) in (0..).zip(f.blocks) {
            let up = f.up.f_narrow(1, column, width)?;
            let mut target = out.f_narrow(0, start, length)?.f_narrow(1, first, width)?;
            // what comes back is a second handle to `target`
            drop(target.f_add_(&low.f_narrow(1, index * rank, rank)?.f_matmul(&up)?)?);
            column += width;
        }
        Ok(())
    };
    factors.iter().try_for_each(run).map_err(|error| Error {
        operation: "segment_lora",
        message: error.to_string().lines().next().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    fn random(shape: [i64; 2], seed: i64, kind: Kind) -> Tensor {
        tch::manual_seed(seed);
        (Tensor::randn(shape, (Kind::Float, Device::Cpu)) * 0.2).to_kind(kind)
    }

    #[test]
    fn each_run_gets_its_own_adapter_and_rows_between_none() {
        let (n, in_features, out_features, rank) = (41, 70, 100, 3);
        let blocks: [Block; 2] = [[4, 50], [60, 37]];
        for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::BFloat16, 2e-2)] {
            let (x, base) = (random([n, in_features], 1, kind), random([n, out_features], 2, kind));
            let runs = [(0, 1), (1, 7), (10, 31)];
            let downs = runs.map(|run| random([2 * rank, in_features], 10 + run.0, kind));
            let ups = runs.map(|run| random([rank, 87], 20 + run.0, kind));
            let factors: Vec<Factors<'_>> = runs
                .iter()
                .zip(downs.iter().zip(&ups))
                .map(|(run, (down, up))| Factors {
                    start: run.0 as usize,
                    length: run.1 as usize,
                    down,
                    up,
                    rank: rank as usize,
                    blocks: &blocks,
                })
                .collect();
            let mut got = base.copy();
            add_segments(&mut got, &x, &factors).unwrap();
            let products = base.copy();
            add_products(&products, &x, &factors).unwrap();

            let want = base.to_kind(Kind::Float);
            for (run, (down, up)) in runs.iter().zip(downs.iter().zip(&ups)) {
                let low = x.narrow(0, run.0, run.1).to_kind(Kind::Float).matmul(&down.to_kind(Kind::Float).tr());
                let mut column = 0;
                for (i, block) in blocks.iter().enumerate() {
                    let part = low
                        .narrow(1, i as i64 * rank, rank)
                        .matmul(&up.narrow(1, column, block[1]).to_kind(Kind::Float));
                    let _ = want.narrow(0, run.0, run.1).narrow(1, block[0], block[1]).g_add_(&part);
                    column += block[1];
                }
            }
            for (way, got) in [("kernel", got), ("products", products)] {
                let error = (got.to_kind(Kind::Float) - &want).abs().max().double_value(&[]);
                assert!(error < tolerance, "{way} {kind:?} {error}");
            }
        }
    }

    #[test]
    fn a_row_is_the_same_bits_in_any_company() {
        for kind in [Kind::Float, Kind::BFloat16] {
            let (x, base) = (random([23, 64], 1, kind), random([23, 48], 2, kind));
            let (down, up) = (random([16, 64], 3, kind), random([16, 48], 4, kind));
            let run = |start, length| {
                let mut out = base.copy();
                let factors = Factors { start, length, down: &down, up: &up, rank: 16, blocks: &[[0, 48]] };
                add_segments(&mut out, &x, &[factors]).unwrap();
                out
            };
            let whole = run(0, 23);
            for row in 0..23 {
                assert!(run(row, 1).get(row as i64).equal(&whole.get(row as i64)), "{kind:?} row {row}");
            }
        }
    }

    #[test]
    fn factors_that_do_not_fit_are_refused() {
        let (x, mut out) = (random([4, 8], 1, Kind::Float), random([4, 6], 2, Kind::Float));
        let (down, up) = (random([2, 8], 3, Kind::Float), random([2, 6], 4, Kind::Float));
        let fits = Factors { start: 0, length: 4, down: &down, up: &up, rank: 2, blocks: &[[0, 6]] };
        assert!(add_segments(&mut out, &x, &[fits]).is_ok());
        for wrong in [
            Factors { length: 5, ..fits },
            Factors { rank: 1, ..fits },
            Factors { blocks: &[[1, 6]], ..fits },
            Factors { blocks: &[[0, 5]], ..fits },
            Factors { down: &up, ..fits },
        ] {
            assert!(add_segments(&mut out, &x, &[wrong]).is_err(), "{wrong:?}");
        }
        assert!(add_segments(&mut out, &x, &[fits, fits]).is_err(), "overlapping runs");
    }
}
