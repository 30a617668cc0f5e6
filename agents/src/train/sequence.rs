//! A sequence to score or to train on, as plain data.

use super::error::TrainError;
use crate::critic::CriticHead;
use crate::generate::PolicyId;

/// Token ids, and which of them count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainSequence {
    /// Whose log-probabilities are asked for.
    pub policy: PolicyId,
    /// The tokens, exactly as they were seen and sampled.
    pub ids: Vec<u32>,
    /// Which tokens are scored: ascending indices into `ids`. The first token has nothing before it and cannot be.
    pub scored: Vec<u32>,
    /// For a tree of continuations laid out in one row of tokens: the parent of each token, which comes before it. A token
    /// then sees its ancestors only, and stands at the position of its depth. `None` is a plain sequence.
    pub parents: Option<Vec<Option<u32>>>,
    /// The critic asked for a value before each scored token.
    pub critic: Option<CriticHead>,
}

impl TrainSequence {
    /// A plain sequence in which every token from `first` on is scored, without a critic.
    pub fn from_token(policy: PolicyId, ids: Vec<u32>, first: u32) -> Self {
        let scored = (first..ids.len() as u32).collect();
        Self { policy, ids, scored, parents: None, critic: None }
    }

    /// The token that predicts token `index`.
    pub(super) fn source(&self, index: u32) -> Option<u32> {
        match &self.parents {
            Some(parents) => parents[index as usize],
            None => index.checked_sub(1),
        }
    }

    /// Position of each token: its index, or its depth in the tree.
    pub(super) fn positions(&self) -> Vec<i64> {
        let Some(parents) = &self.parents else { return (0..self.ids.len() as i64).collect() };
        let mut depths: Vec<i64> = Vec::with_capacity(parents.len());
        for parent in parents {
            depths.push(parent.map_or(0, |parent| depths[parent as usize] + 1));
        }
        depths
    }

    /// Checks indices; `number` names the sequence in the error.
    pub(super) fn check(&self, number: usize) -> Result<(), TrainError> {
        let fault = |reason: String| Err(TrainError::Sequence { number, reason });
        if let Some(parents) = &self.parents {
            if parents.len() != self.ids.len() {
                return fault(format!("{} parents for {} tokens", parents.len(), self.ids.len()));
            }
            let late = |(index, parent): (usize, &Option<u32>)| parent.filter(|&parent| parent as usize >= index);
            if let Some(parent) = parents.iter().enumerate().find_map(late) {
                return fault(format!("parent {parent} does not come before its token"));
            }
        }
        if let Some(&[first, second]) = self.scored.windows(2).find(|pair| pair[0] >= pair[1]) {
            return fault(format!("scored tokens {first} and {second} are not in ascending order"));
        }
        for &index in &self.scored {
            if index as usize >= self.ids.len() {
                return fault(format!("scored token {index} lies beyond its {} tokens", self.ids.len()));
            }
            if self.source(index).is_none() {
                return fault(format!("scored token {index} has nothing before it"));
            }
        }
        Ok(())
    }
}

/// Cuts sequences into batches of at most `budget` tokens (a longer sequence is a batch of its own), as indices in order.
pub fn micro_batches(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut used = 0;
    for (index, &length) in lengths.iter().enumerate() {
        match batches.last_mut() {
            Some(last) if used + length <= budget => {
                last.push(index);
                used += length;
            }
            _ => {
                batches.push(vec![index]);
                used = length;
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_order_and_budget() {
        assert_eq!(micro_batches(&[3, 3, 3, 9, 1], 6), [vec![0, 1], vec![2], vec![3], vec![4]]);
        assert!(micro_batches(&[], 6).is_empty());
    }

    #[test]
    fn a_tree_stands_at_its_depths() {
        let mut tree = TrainSequence::from_token(PolicyId(0), vec![5, 6, 7, 8], 1);
        tree.parents = Some(vec![None, Some(0), Some(0), Some(2)]);
        assert_eq!(tree.positions(), [0, 1, 1, 2]);
        assert_eq!(tree.source(3), Some(2));
        tree.check(0).unwrap();
    }

    #[test]
    fn impossible_indices_are_refused() {
        let good = TrainSequence::from_token(PolicyId(0), vec![5, 6, 7], 1);
        good.check(0).unwrap();
        for bad in [
            TrainSequence { scored: vec![0], ..good.clone() },
            TrainSequence { scored: vec![3], ..good.clone() },
            TrainSequence { scored: vec![2, 1], ..good.clone() },
            TrainSequence { parents: Some(vec![None]), ..good.clone() },
            TrainSequence { parents: Some(vec![None, Some(1), Some(0)]), ..good.clone() },
            TrainSequence { parents: Some(vec![None, None, Some(0)]), ..good.clone() },
        ] {
            assert!(bad.check(7).unwrap_err().to_string().contains('7'), "{bad:?}");
        }
    }
}
