//! The loss algebra: from numbers per branch to numbers per tree token, and back.

use tch::Tensor;

use super::{PrefixTree, TreeError};
use crate::Result;
use crate::loss::{LossError, token_count};

impl PrefixTree {
    /// `[len]` Sum over the branches through each token of that branch's weight (mask, advantage, aggregation) for it.
    ///
    /// `per_branch` holds one list per branch, one weight per token. Exact for every loss that is linear in the
    /// log-probability.
    pub fn sum_weights(&self, per_branch: &[impl AsRef<[f64]>]) -> Result<Vec<f64>> {
        self.check("weights", per_branch)?;
        let mut total = vec![0.0; self.len()];
        for (path, weights) in self.paths.iter().zip(per_branch) {
            for (&place, &weight) in path.iter().zip(weights.as_ref()) {
                total[place] += weight;
            }
        }
        Ok(total)
    }

    /// `[flat_len]` The branches' tokens one after another, gathered from a tensor `[len]` over the tree, with
    /// gradient.
    ///
    /// Then the flat losses apply as they are, whatever each branch's advantage: a shared token receives the sum of its
    /// branches' gradients.
    pub fn gather(&self, per_tree_token: &Tensor) -> Result<Tensor> {
        Ok(self.gather_flat(per_tree_token)?)
    }

    fn gather_flat(&self, per_tree_token: &Tensor) -> std::result::Result<Tensor, LossError> {
        let got = token_count("the tensor over the tree", per_tree_token)?;
        crate::loss::same_length("the tensor over the tree", got, self.len())?;
        let places: Vec<i64> = self.paths.iter().flatten().map(|&place| place as i64).collect();
        let places = Tensor::f_from_slice(&places)?.f_to_device(per_tree_token.device())?;
        Ok(per_tree_token.f_index_select(0, &places)?)
    }

    /// Tokens per branch: the `lengths` of the flat batch that [`gather`](Self::gather) makes.
    pub fn lengths(&self) -> Vec<usize> {
        self.paths.iter().map(Vec::len).collect()
    }

    fn check(&self, what: &'static str, per_branch: &[impl AsRef<[f64]>]) -> Result<()> {
        let (got, want) = (per_branch.len(), self.paths.len());
        if got != want {
            return Err(TreeError::Branches { what, got, want }.into());
        }
        for (branch, (path, numbers)) in self.paths.iter().zip(per_branch).enumerate() {
            let (got, want) = (numbers.as_ref().len(), path.len());
            if got != want {
                return Err(TreeError::Length { what, branch, got, want }.into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tch::Tensor;

    use crate::tree::{Branch, PrefixTree};

    fn tree() -> PrefixTree {
        let branches = [vec![1, 2, 3], vec![1, 2, 5], vec![1, 7]];
        PrefixTree::build(branches.iter().map(|tokens| Branch::new(tokens))).unwrap()
    }

    #[test]
    fn shared_tokens_get_the_sum() {
        let weights = tree().sum_weights(&[vec![1.0, 2.0, 3.0], vec![0.5, 0.0, -1.0], vec![0.25, 4.0]]).unwrap();
        assert_eq!(weights, [1.75, 2.0, 3.0, -1.0, 4.0]);
    }

    #[test]
    fn gathering_sends_every_branchs_gradient_back() {
        let per_token = Tensor::from_slice(&[10.0f64, 20.0, 30.0, 50.0, 70.0]).set_requires_grad(true);
        let flat = tree().gather(&per_token).unwrap();
        assert_eq!(Vec::<f64>::try_from(&flat).unwrap(), [10.0, 20.0, 30.0, 10.0, 20.0, 50.0, 10.0, 70.0]);
        flat.sum(tch::Kind::Double).backward();
        assert_eq!(Vec::<f64>::try_from(per_token.grad()).unwrap(), [3.0, 2.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        assert!(tree().sum_weights(&[vec![1.0; 3]]).is_err());
        assert!(tree().sum_weights(&[vec![1.0; 3], vec![1.0; 2], vec![1.0; 2]]).is_err());
        assert!(tree().gather(&Tensor::zeros([4], tch::kind::DOUBLE_CPU)).is_err());
    }
}
