//! Who attends to whom: ancestors only, and oneself.
//!
//! The tokens lie depth first, so that the descendants of a token are one run: token j sees token i iff
//! i <= j < [`subtree_end`](PrefixTree::subtree_end)(i). One number per token says it all; the dense mask is for
//! kernels that want one.

use tch::{Device, Kind, Tensor};

use super::PrefixTree;
use crate::Result;
use crate::loss::LossError;

impl PrefixTree {
    /// `[len]` One past the last descendant of each token.
    pub fn subtree_end(&self) -> &[usize] {
        &self.subtree_end
    }

    /// Whether the token at `query` sees the token at `key`.
    pub fn attends(&self, query: usize, key: usize) -> bool {
        key <= query && query < self.subtree_end[key]
    }

    /// `[len, len]` bool, true where the row's token sees the column's.
    pub fn attention_mask(&self, device: Device) -> Result<Tensor> {
        Ok(self.dense(device)?)
    }

    fn dense(&self, device: Device) -> std::result::Result<Tensor, LossError> {
        let end: Vec<i64> = self.subtree_end.iter().map(|&end| end as i64).collect();
        let end = Tensor::f_from_slice(&end)?.f_to_device(device)?;
        let place = Tensor::f_arange(self.len() as i64, (Kind::Int64, device))?;
        let query = place.f_unsqueeze(1)?;
        Ok(query.f_ge_tensor(&place)?.f_logical_and(&query.f_lt_tensor(&end)?)?)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use crate::tree::{Branch, PrefixTree};

    /// Every token sees exactly the tokens of its own path up to itself.
    #[test]
    fn ancestors_only() {
        let branches = [vec![1, 2, 3, 4], vec![1, 2, 5, 6], vec![1, 7, 8], vec![9, 2]];
        let tree = PrefixTree::build(branches.iter().map(|tokens| Branch::new(tokens))).unwrap();
        let mask = tree.attention_mask(Device::Cpu).unwrap();
        for path in tree.paths() {
            for (depth, &query) in path.iter().enumerate() {
                for key in 0..tree.len() {
                    let want = path[..=depth].contains(&key);
                    assert_eq!(tree.attends(query, key), want);
                    assert_eq!(mask.int64_value(&[query as i64, key as i64]) == 1, want);
                }
            }
        }
    }
}
