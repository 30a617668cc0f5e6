//! Attention of many rows over a key-value cache in blocks, on the CPU.
//!
//! Rows of any number of sequences are attended in one call, be it one row each (decoding) or many (prefill). Grouped queries
//! read each key once; rows that share blocks (samples of one prompt) read them from the processor's cache. A row's result is
//! the same bits whatever rows stand beside it.

use std::ffi::c_int;

use tch::{Device, Kind, Tensor};

use crate::error::{Error, Handle, Result, handle, take};

unsafe extern "C" {
    safe fn marft_paged_block() -> i64;
    fn marft_paged_attention(
        q: Handle,
        k: Handle,
        v: Handle,
        key_cache: Handle,
        value_cache: Handle,
        tables: Handle,
        sequence: Handle,
        position: Handle,
        window: i64,
        scale: f64,
        out: *mut Handle,
    ) -> c_int;
}

/// Positions in one block of the cache.
pub fn block_size() -> usize {
    usize::try_from(marft_paged_block()).expect("a small positive constant")
}

/// Where the rows of a pass lie in the cache. The three tensors live on the CPU.
#[derive(Debug)]
pub struct PagedRows {
    /// [sequences, width] i32: entry `(s, i)` is the block of the positions `16·i .. 16·(i + 1)` of sequence `s`.
    pub tables: Tensor,
    /// \[n\] i32: the sequence of each row. Rows of one sequence stand together.
    pub sequence: Tensor,
    /// \[n\] i64: the position of each row, ascending within a sequence.
    pub position: Tensor,
}

/// The keys and values of one layer, in the layout of the kernel: opaque but for whole blocks.
#[derive(Debug)]
pub struct PagedCache {
    keys: Tensor,
    values: Tensor,
}

impl PagedCache {
    /// Room for `blocks` blocks of `kv_heads` heads of `dim` features in `kind` (f32 or bf16). Pages of memory are taken only
    /// as blocks are written.
    ///
    /// # Errors
    /// The system has no such stretch of addresses to give.
    pub fn new(blocks: usize, kv_heads: usize, dim: usize, kind: Kind) -> Result<Self> {
        let size = [blocks as i64, kv_heads as i64, (block_size() * dim.next_multiple_of(16)) as i64];
        let room = || {
            Tensor::f_empty(size, (kind, Device::Cpu)).map_err(|error| Error::tch("room for keys and values", &error))
        };
        Ok(Self { keys: room()?, values: room()? })
    }

    /// Bytes of one block in one layer, keys and values together.
    pub fn bytes_per_block(kv_heads: usize, dim: usize, kind: Kind) -> usize {
        2 * kv_heads * block_size() * dim.next_multiple_of(16) * kind.elt_size_in_bytes()
    }

    /// Copies the whole block `from` over the block `to`.
    pub fn copy_block(&mut self, from: usize, to: usize) {
        for cache in [&self.keys, &self.values] {
            cache.get(to as i64).copy_(&cache.get(from as i64));
        }
    }

    /// Writes `k` and `v` ([n, kv_heads, dim]) of the rows into their blocks, then attends `q` ([n, heads, dim]) to every
    /// position up to its own, or to the last `window` of them → [n, heads·dim]. All in the kind of the cache.
    pub fn attend(
        &mut self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        rows: &PagedRows,
        window: Option<usize>,
        scale: f64,
    ) -> Result<Tensor> {
        let window = window.map_or(0, |window| window as i64);
        // SAFETY: live handles; kinds, shapes, strides, tables and positions are checked by the entry before it reads or
        // writes. It writes into the two caches, which are owned here and borrowed exclusively.
        let [out] = take("paged_attention", |out| unsafe {
            marft_paged_attention(
                handle(q),
                handle(k),
                handle(v),
                handle(&self.keys),
                handle(&self.values),
                handle(&rows.tables),
                handle(&rows.sequence),
                handle(&rows.position),
                window,
                scale,
                out.as_mut_ptr(),
            )
        })?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    /// Causal attention of one whole sequence by plain operations: [n, heads·dim].
    fn naive(q: &Tensor, k: &Tensor, v: &Tensor, window: Option<usize>, scale: f64) -> Tensor {
        let (n, heads, dim) = q.size3().unwrap();
        let group = heads / k.size()[1];
        let [k, v] = [k, v].map(|t| t.repeat_interleave_self_int(group, 1, None).transpose(0, 1));
        let mut mask = Tensor::ones([n, n], CPU).tril(0);
        if let Some(window) = window {
            mask = mask.triu(1 - window as i64);
        }
        let scores =
            (q.transpose(0, 1).matmul(&k.transpose(1, 2)) * scale).masked_fill(&mask.eq(0.0), f64::NEG_INFINITY);
        scores.softmax(-1, None).matmul(&v).transpose(0, 1).reshape([n, heads * dim])
    }

    fn rows(tables: &[&[i32]], rows: &[(i32, i64)]) -> PagedRows {
        let width = tables[0].len() as i64;
        PagedRows {
            tables: Tensor::from_slice(&tables.concat()).view([-1, width]),
            sequence: Tensor::from_slice(&rows.iter().map(|r| r.0).collect::<Vec<_>>()),
            position: Tensor::from_slice(&rows.iter().map(|r| r.1).collect::<Vec<_>>()),
        }
    }

    fn random(shape: [i64; 3], seed: i64) -> Tensor {
        let count: i64 = shape.iter().product();
        ((Tensor::arange(count, CPU) * 12.9898 + seed as f64 * 78.233).sin() * 43758.5453).frac().view(shape) * 2.0
    }

    #[test]
    fn equals_plain_attention_for_every_grouping_width_and_window() {
        let n = 300;
        for (heads, kv_heads, dim) in [(9, 3, 64), (4, 4, 20), (8, 1, 128)] {
            for window in [None, Some(1), Some(37), Some(200)] {
                let (q, k, v) =
                    (random([n, heads, dim], 1), random([n, kv_heads, dim], 2), random([n, kv_heads, dim], 3));
                let table: Vec<i32> = (0..19).rev().collect();
                for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::BFloat16, 2e-2)] {
                    let [q, k, v] = [&q, &k, &v].map(|t| t.to_kind(kind));
                    let [q32, k32, v32] = [&q, &k, &v].map(|t| t.to_kind(Kind::Float));
                    let want = naive(&q32, &k32, &v32, window, 0.2);
                    let mut cache = PagedCache::new(19, kv_heads as usize, dim as usize, kind).unwrap();
                    let at: Vec<_> = (0..n).map(|p| (0, p)).collect();
                    let got = cache.attend(&q, &k, &v, &rows(&[&table], &at), window, 0.2).unwrap();
                    let error = (got.to_kind(Kind::Float) - want).abs().max().double_value(&[]);
                    assert!(error < tolerance, "{heads} {kv_heads} {dim} {window:?} {kind:?}: {error}");
                }
            }
        }
    }

    #[test]
    fn a_row_is_the_same_bits_in_any_chunk_and_company() {
        let (n, heads, kv_heads, dim) = (150, 9, 3, 64);
        for kind in [Kind::Float, Kind::BFloat16] {
            let [q, k, v] = [random([n, heads, dim], 1), random([n, kv_heads, dim], 2), random([n, kv_heads, dim], 3)]
                .map(|t| t.to_kind(kind));
            let table: Vec<i32> = (0..10).collect();
            let mut cache = PagedCache::new(20, 3, 64, kind).unwrap();
            let at: Vec<_> = (0..n).map(|p| (0, p)).collect();
            let whole = cache.attend(&q, &k, &v, &rows(&[&table], &at), None, 0.125).unwrap();
            // The same sequence beside itself in other blocks, in chunks of other lengths and, at last, row by row.
            let mut cache = PagedCache::new(20, 3, 64, kind).unwrap();
            let other: Vec<i32> = (10..20).collect();
            let (mut parts, mut done) = (Vec::new(), 0);
            for chunk in [1, 63, 3, 70, 5, 1, 1, 1, 5] {
                let [q, k, v] =
                    [&q, &k, &v].map(|t| Tensor::cat(&[t.narrow(0, done, chunk), t.narrow(0, done, chunk)], 0));
                let at: Vec<_> = (0..2).flat_map(|s| (done..done + chunk).map(move |p| (s, p))).collect();
                let both = cache.attend(&q, &k, &v, &rows(&[&table, &other], &at), None, 0.125).unwrap();
                assert!(both.narrow(0, 0, chunk).equal(&both.narrow(0, chunk, chunk)));
                parts.push(both.narrow(0, chunk, chunk));
                done += chunk;
            }
            assert!(Tensor::cat(&parts, 0).equal(&whole), "{kind:?}");
        }
    }

    #[test]
    fn room_that_nobody_has_is_an_error_of_one_line() {
        let error = PagedCache::new(1 << 31, 64, 1024, Kind::Float).unwrap_err();
        assert_eq!(error.operation, "room for keys and values");
        assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error}");
    }

    #[test]
    fn rows_outside_their_table_or_cache_are_refused() {
        let mut cache = PagedCache::new(2, 1, 16, Kind::Float).unwrap();
        let x = random([1, 1, 16], 1);
        for (table, position) in [([0, 1], 32), ([0, 2], 20), ([-1, 0], 0), ([0, 1], -1)] {
            assert!(cache.attend(&x, &x, &x, &rows(&[&table], &[(0, position)]), None, 1.0).is_err());
        }
        let wide = random([1, 1, 32], 1);
        assert!(cache.attend(&wide, &wide, &wide, &rows(&[&[0, 1]], &[(0, 0)]), None, 1.0).is_err());
    }
}
