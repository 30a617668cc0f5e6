//! Cutting a tree that does not fit a micro-batch.
//!
//! Branches are taken depth first and put together while they fit, so that neighbours with long common prefixes stay
//! together. A prefix shared across packs is computed in each of them, and each branch's loss is counted in exactly
//! one: the losses of the packs, and so their gradients, add up to those of the whole.

use super::{Branch, PrefixTree, TreeError};
use crate::Result;

/// A part of a tree, itself a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// The tree of the part's branches.
    pub tree: PrefixTree,
    /// Which branches of the whole they are, in the order of the part's branches.
    pub branches: Vec<usize>,
}

impl PrefixTree {
    /// Packs of at most `budget` tree tokens; every branch is in exactly one. Refuses a branch longer than the budget.
    pub fn split(&self, budget: usize) -> Result<Vec<Pack>> {
        if let Some((branch, path)) = self.paths.iter().enumerate().find(|(_, path)| path.len() > budget) {
            return Err(TreeError::OverBudget { branch, tokens: path.len(), budget }.into());
        }
        let mut order: Vec<usize> = (0..self.paths.len()).collect();
        order.sort_by(|&a, &b| self.paths[a].cmp(&self.paths[b]).then(a.cmp(&b)));
        let mut packs: Vec<Vec<usize>> = Vec::new();
        let mut used = 0;
        for branch in order {
            let path = &self.paths[branch];
            // Depth first, the tokens shared with a pack are those shared with its last branch.
            let last = packs.last().and_then(|pack| pack.last()).map(|&last| &self.paths[last]);
            let shared = last.map_or(0, |last| last.iter().zip(path).take_while(|(a, b)| a == b).count());
            let extra = path.len() - shared;
            match packs.last_mut() {
                Some(pack) if used + extra <= budget => {
                    pack.push(branch);
                    used += extra;
                }
                _ => {
                    packs.push(vec![branch]);
                    used = path.len();
                }
            }
        }
        packs.into_iter().map(|branches| self.part(branches)).collect()
    }

    fn part(&self, mut branches: Vec<usize>) -> Result<Pack> {
        branches.sort_unstable();
        let columns: Vec<(Vec<i64>, Vec<u32>)> = branches
            .iter()
            .map(|&branch| self.paths[branch].iter().map(|&place| (self.tokens[place], self.policies[place])).unzip())
            .collect();
        let tree = Self::build(columns.iter().map(|(tokens, policies)| Branch { tokens, policies }))?;
        Ok(Pack { tree, branches })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> PrefixTree {
        let branches = [vec![1, 2, 3, 4], vec![1, 7, 8], vec![1, 2, 5, 6], vec![9]];
        PrefixTree::build(branches.iter().map(|tokens| Branch::new(tokens))).unwrap()
    }

    #[test]
    fn neighbours_stay_together() {
        let packs = tree().split(6).unwrap();
        let parts: Vec<_> = packs.iter().map(|pack| (pack.branches.clone(), pack.tree.len())).collect();
        assert_eq!(parts, [(vec![0, 2], 6), (vec![1, 3], 4)]);
    }

    #[test]
    fn a_large_budget_gives_the_whole_and_a_small_one_is_refused() {
        let whole = tree().split(100).unwrap();
        assert_eq!((whole.len(), &whole[0].tree), (1, &tree()));
        assert_eq!(tree().split(3).unwrap_err(), TreeError::OverBudget { branch: 0, tokens: 4, budget: 3 }.into());
    }
}
