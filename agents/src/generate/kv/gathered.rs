//! A cache in blocks for devices without a kernel of ours: blocks are gathered, then attended by libtorch.
//!
//! Rows that stand alone (decoding) are attended together; several rows of one sequence (prefill) by themselves, since their
//! lengths differ. Keys are never repeated over the heads of a group.

use marft_torch::PagedRows;
use tch::{Device, Kind, TchError, Tensor};

use super::blocks::BlockId;
use super::store::block_size;

/// Keys and values of one layer: [blocks, block, kv_heads, dim] each.
#[derive(Debug)]
pub struct GatheredCache {
    keys: Tensor,
    values: Tensor,
}

impl GatheredCache {
    /// Zeroed room for `blocks` blocks.
    ///
    /// # Errors
    /// The device has no such room.
    pub fn new(blocks: usize, kv_heads: usize, dim: usize, kind: Kind, device: Device) -> Result<Self, TchError> {
        let size = [blocks as i64, block_size() as i64, kv_heads as i64, dim as i64];
        Ok(Self { keys: Tensor::f_zeros(size, (kind, device))?, values: Tensor::f_zeros(size, (kind, device))? })
    }

    /// Copies the block `from` over the block `to`.
    pub fn copy_block(&mut self, from: BlockId, to: BlockId) {
        for cache in [&self.keys, &self.values] {
            cache.get(i64::from(to)).copy_(&cache.get(i64::from(from)));
        }
    }

    /// Writes the rows' keys and values, then attends: the contract of [`marft_torch::PagedCache::attend`].
    pub fn attend(
        &mut self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        rows: &PagedRows,
        window: Option<usize>,
        scale: f64,
    ) -> Tensor {
        let size = block_size() as i64;
        let tables = rows.tables.to_kind(Kind::Int64);
        let sequence = rows.sequence.to_kind(Kind::Int64);
        let block = tables.index_select(0, &sequence).gather(
            1,
            &rows.position.divide_scalar_mode(size, "floor").unsqueeze(1),
            false,
        );
        let slot = (block.squeeze_dim(1) * size + rows.position.remainder(size)).to_device(q.device());
        for (cache, new) in [(&self.keys, k), (&self.values, v)] {
            let _ = cache.view([-1, new.size()[1], new.size()[2]]).index_copy_(0, &slot, new);
        }
        let runs = runs(&rows.sequence);
        if runs.iter().all(|run| run.1 == 1) {
            return self.attend_together(q, &tables.index_select(0, &sequence), &rows.position, window, scale);
        }
        let one = |&(start, rows_in): &(i64, i64)| {
            let position = rows.position.narrow(0, start, rows_in);
            self.attend_run(
                &q.narrow(0, start, rows_in),
                &tables.get(sequence.int64_value(&[start])),
                &position,
                window,
                scale,
            )
        };
        Tensor::cat(&runs.iter().map(one).collect::<Vec<_>>(), 0)
    }

    /// The first `blocks` blocks of each table [n, width] → keys and values [n, kv_heads, positions, dim].
    fn gather(&self, tables: &Tensor, blocks: i64) -> [Tensor; 2] {
        let n = tables.size()[0];
        let index = tables.narrow(1, 0, blocks).clamp_min(0).reshape(-1).to_device(self.keys.device());
        [&self.keys, &self.values].map(|cache| {
            let [_, size, heads, dim] = cache.size()[..] else { unreachable!("a cache has four dimensions") };
            cache.index_select(0, &index).view([n, blocks * size, heads, dim]).transpose(1, 2)
        })
    }

    /// One row a sequence.
    fn attend_together(
        &self,
        q: &Tensor,
        tables: &Tensor,
        position: &Tensor,
        window: Option<usize>,
        scale: f64,
    ) -> Tensor {
        let blocks = position.max().int64_value(&[]) / block_size() as i64 + 1;
        let [keys, values] = self.gather(tables, blocks);
        let mask = visible(position, keys.size()[2], window).to_device(q.device()).unsqueeze(1).unsqueeze(1);
        let grouped = q.size()[1] != keys.size()[1];
        let mixed = Tensor::scaled_dot_product_attention(
            &q.unsqueeze(2),
            &keys,
            &values,
            Some(&mask),
            0.0,
            false,
            scale,
            grouped,
        );
        mixed.reshape([q.size()[0], -1])
    }

    /// Several rows of one sequence.
    fn attend_run(&self, q: &Tensor, table: &Tensor, position: &Tensor, window: Option<usize>, scale: f64) -> Tensor {
        let blocks = position.max().int64_value(&[]) / block_size() as i64 + 1;
        let [keys, values] = self.gather(&table.unsqueeze(0), blocks);
        let mask = visible(position, keys.size()[2], window).to_device(q.device());
        let grouped = q.size()[1] != keys.size()[1];
        let query = q.transpose(0, 1).unsqueeze(0);
        let mixed =
            Tensor::scaled_dot_product_attention(&query, &keys, &values, Some(&mask), 0.0, false, scale, grouped);
        mixed.squeeze_dim(0).transpose(0, 1).reshape([q.size()[0], -1])
    }
}

/// [n, keys]: which keys each row sees.
fn visible(position: &Tensor, keys: i64, window: Option<usize>) -> Tensor {
    let key = Tensor::arange(keys, (Kind::Int64, Device::Cpu)).unsqueeze(0);
    let row = position.unsqueeze(1);
    let causal = key.le_tensor(&row);
    match window {
        Some(window) => causal.logical_and(&key.gt_tensor(&(row - window as i64))),
        None => causal,
    }
}

/// `(start, length)` of every run of rows of one sequence.
fn runs(sequence: &Tensor) -> Vec<(i64, i64)> {
    let ids: Vec<i32> = Vec::try_from(sequence).expect("a vector of i32");
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for (row, id) in ids.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if row > 0 && ids[row - 1] == *id => run.1 += 1,
            _ => runs.push((row as i64, 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use marft_torch::PagedCache;

    #[test]
    fn equals_the_kernel_in_prefill_and_decoding() {
        let tables = Tensor::from_slice(&[3i32, 1, 0, 2, 4, 5]).view([2, 3]);
        let mut kernel = PagedCache::new(6, 2, 16, Kind::Float).unwrap();
        let mut gathered = GatheredCache::new(6, 2, 16, Kind::Float, Device::Cpu).unwrap();
        // Two prompts of 20 and 18 positions in chunks, then both decode.
        let passes: [Vec<(i32, i64)>; 3] = [
            (0..20).map(|p| (0, p)).chain((0..9).map(|p| (1, p))).collect(),
            (9..18).map(|p| (1, p)).chain([(0, 20)]).collect(),
            vec![(0, 21), (1, 18)],
        ];
        for (seed, pass) in passes.iter().enumerate() {
            let n = pass.len() as i64;
            tch::manual_seed(seed as i64);
            let [q, k, v] = [4, 2, 2].map(|heads| Tensor::randn([n, heads, 16], (Kind::Float, Device::Cpu)));
            let rows = PagedRows {
                tables: tables.shallow_clone(),
                sequence: Tensor::from_slice(&pass.iter().map(|r| r.0).collect::<Vec<_>>()),
                position: Tensor::from_slice(&pass.iter().map(|r| r.1).collect::<Vec<_>>()),
            };
            for window in [None, Some(7)] {
                let want = kernel.attend(&q, &k, &v, &rows, window, 0.25).unwrap();
                let got = gathered.attend(&q, &k, &v, &rows, window, 0.25);
                assert!(got.allclose(&want, 1e-5, 1e-5, false), "pass {seed} window {window:?}");
            }
        }
    }
}
