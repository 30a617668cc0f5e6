//! Thickets: sequences with a common beginning laid out as one tree, so that what they share is computed once.
//!
//! The samples of a group answer one prompt, and all agents of a role begin with the same words. Flat, each repeats them;
//! as a tree, tokens before the first scored one are shared wherever they agree, and everything after is a branch of its
//! own. A token sees its ancestors and stands at its depth, exactly as in its own sequence, so results and gradients are
//! the same but for rounding.
//!
//! Source: tree-structured training, KAT-Coder technical report (arXiv 2510.18779), for prompts instead of turns.

use std::collections::HashMap;

use super::sequence::TrainSequence;

/// Most rows of a tree: its attention is quadratic in them, whatever its branches.
const MOST_ROWS: usize = 384;

/// Fewest rows that adding a sequence to a tree must save: rows of a tree are scored against all before them, ancestors or not.
const LEAST_SAVED: usize = 8;

/// Rows of one or more sequences.
#[derive(Debug, Default)]
pub(super) struct Thicket {
    /// Token of each row.
    pub(super) ids: Vec<u32>,
    /// Parent of each row; rows without branches are a plain sequence.
    pub(super) parents: Vec<Option<u32>>,
    /// Depth of each row.
    pub(super) depths: Vec<i64>,
    /// The member sequences, by the caller's index, with the row of each of their tokens as far as rows are needed.
    pub(super) members: Vec<(usize, Vec<u32>)>,
    children: HashMap<(Option<u32>, u32), u32>,
}

impl Thicket {
    /// Whether it is one plain sequence.
    pub(super) fn is_plain(&self) -> bool {
        self.members.len() == 1
    }

    /// Rows that `sequence` would share.
    fn shared(&self, sequence: &TrainSequence) -> usize {
        let mut at = None;
        let prompt = prompt(sequence);
        for (depth, id) in prompt.iter().enumerate() {
            match self.children.get(&(at, *id)) {
                Some(child) => at = Some(*child),
                None => return depth,
            }
        }
        prompt.len()
    }

    fn add(&mut self, index: usize, sequence: &TrainSequence) {
        let needed = rows(sequence);
        let shareable = prompt(sequence).len();
        let mut at = None;
        let mut places = Vec::with_capacity(needed);
        for (depth, id) in sequence.ids[..needed].iter().enumerate() {
            let known = if depth < shareable { self.children.get(&(at, *id)).copied() } else { None };
            let place = known.unwrap_or_else(|| {
                let place = self.ids.len() as u32;
                self.ids.push(*id);
                self.parents.push(at);
                self.depths.push(depth as i64);
                if depth < shareable {
                    self.children.insert((at, *id), place);
                }
                place
            });
            places.push(place);
            at = Some(place);
        }
        self.members.push((index, places));
    }
}

/// Rows of a sequence that anything is read from.
pub(super) fn rows(sequence: &TrainSequence) -> usize {
    sequence.scored.last().map_or(0, |last| *last as usize)
}

/// Tokens that only lead to scored ones, as far as rows are needed.
fn prompt(sequence: &TrainSequence) -> &[u32] {
    let first = sequence.scored.first().map_or(0, |first| *first as usize);
    &sequence.ids[..first.min(rows(sequence))]
}

/// Lays plain sequences of one policy out, those with common beginnings together. `order` are indices into `sequences`.
pub(super) fn grow(sequences: &[&TrainSequence], order: &[usize]) -> Vec<Thicket> {
    let mut order = order.to_vec();
    order.sort_by(|a, b| sequences[*a].ids.cmp(&sequences[*b].ids).then(a.cmp(b)));
    let mut thickets: Vec<Thicket> = vec![];
    for index in order {
        let sequence = sequences[index];
        let joins = thickets.last().is_some_and(|last| {
            let shared = last.shared(sequence);
            shared >= LEAST_SAVED && last.ids.len() + rows(sequence) - shared <= MOST_ROWS
        });
        if !joins {
            thickets.push(Thicket::default());
        }
        if let Some(last) = thickets.last_mut() {
            last.add(index, sequence);
        }
    }
    thickets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::PolicyId;

    fn sequence(prompt: &[u32], answer: &[u32]) -> TrainSequence {
        let ids = [prompt, answer].concat();
        TrainSequence::from_token(PolicyId(0), ids, prompt.len() as u32)
    }

    #[test]
    fn prompts_are_shared_and_answers_are_not() {
        let prompt: Vec<u32> = (0..10).collect();
        let all = [sequence(&prompt, &[50, 51, 52]), sequence(&prompt, &[50, 51]), sequence(&[9, 9], &[1])];
        let thickets = grow(&all.iter().collect::<Vec<_>>(), &[0, 1, 2]);
        assert_eq!(thickets.len(), 2);
        let tree = &thickets[0];
        // ten of the prompt, and 50 of the one and 50, 51 of the other; nothing is read from the last tokens
        assert_eq!(tree.ids.len(), 13);
        assert_eq!(tree.members.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(tree.members[1].1[..10], tree.members[0].1[..10]);
        assert_ne!(tree.members[1].1[10], tree.members[0].1[10], "equal answers are different branches");
        assert_eq!(tree.depths[10..], [10, 10, 11]);
        assert!(!tree.is_plain() && thickets[1].is_plain());
    }

    #[test]
    fn a_tree_stays_small_enough_for_its_attention() {
        let prompt: Vec<u32> = (0..20).collect();
        let all: Vec<TrainSequence> = (0..40).map(|i| sequence(&prompt, &[i; 60])).collect();
        let order: Vec<usize> = (0..40).collect();
        let thickets = grow(&all.iter().collect::<Vec<_>>(), &order);
        assert!(thickets.iter().all(|thicket| thicket.ids.len() <= MOST_ROWS));
        assert_eq!(thickets.iter().map(|thicket| thicket.members.len()).sum::<usize>(), 40);
        assert!(thickets.len() < 10);
    }
}
