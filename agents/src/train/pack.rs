//! Sequences of all policies laid out as the rows of one pass.
//!
//! Sequences are sorted by policy, so that the rows of an adapter stand together and each adapter in use costs one pair of
//! thin products a layer. Those that begin alike share their rows (`thicket.rs`). Rows after the last one that predicts a
//! scored token are left out: nothing reads them.

use std::ops::Range;

use tch::{Device, Tensor};

use super::error::TrainError;
use super::sequence::TrainSequence;
use super::thicket::{Thicket, grow};
use crate::generate::{PolicyId, Segment};

/// One sequence of a pack.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) rows: i64,
    /// Parents of its rows, for a tree.
    pub(super) parents: Option<Vec<Option<u32>>>,
}

/// The rows of a pass, and which of them predict scored tokens.
#[derive(Debug)]
pub(super) struct Pack {
    /// Token ids \[n\].
    pub(super) ids: Tensor,
    /// Positions \[n\].
    pub(super) positions: Tensor,
    /// In order of rows.
    pub(super) sequences: Vec<Packed>,
    /// Rows by policy.
    pub(super) segments: Vec<Segment>,
    /// The row that predicts each scored token, \[m\].
    pub(super) sources: Tensor,
    /// The scored tokens, \[m\].
    pub(super) targets: Tensor,
    /// Scored tokens by policy.
    pub(super) scored_segments: Vec<Segment>,
    /// Which of the m results stands at each place of the caller's order; `None` where the orders agree.
    restore: Option<Tensor>,
    /// Where the results of each of the caller's sequences stand in the caller's order.
    pub(super) ranges: Vec<Range<usize>>,
}

impl Pack {
    pub(super) fn new(sequences: &[&TrainSequence], device: Device) -> Result<Self, TrainError> {
        for (number, sequence) in sequences.iter().enumerate() {
            sequence.check(number)?;
        }
        let mut ranges = Vec::with_capacity(sequences.len());
        let mut total = 0;
        for sequence in sequences {
            ranges.push(total..total + sequence.scored.len());
            total += sequence.scored.len();
        }
        let mut order: Vec<usize> = (0..sequences.len()).filter(|&index| !sequences[index].scored.is_empty()).collect();
        order.sort_by_key(|&index| sequences[index].policy);

        let mut rows = Rows::default();
        for of_policy in order.chunk_by(|a, b| sequences[*a].policy == sequences[*b].policy) {
            let (plain, trees): (Vec<usize>, Vec<usize>) =
                of_policy.iter().partition(|index| sequences[**index].parents.is_none());
            for thicket in grow(sequences, &plain) {
                rows.add_thicket(sequences, &ranges, &thicket);
            }
            for index in trees {
                rows.add_tree(sequences[index], ranges[index].clone());
            }
        }
        let Rows { ids, positions, packed, sources, targets, places, segments, scored_segments } = rows;
        let restore = (!places.is_sorted()).then(|| {
            let mut inverse = vec![0_i64; places.len()];
            for (row, &place) in places.iter().enumerate() {
                inverse[place as usize] = row as i64;
            }
            Tensor::from_slice(&inverse).to_device(device)
        });
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(device);
        Ok(Self {
            ids: tensor(&ids),
            positions: tensor(&positions),
            sequences: packed,
            segments,
            sources: tensor(&sources),
            targets: tensor(&targets),
            scored_segments,
            restore,
            ranges,
        })
    }

    /// Whether nothing is scored.
    pub(super) fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Results \[m, …\] of the pass in the caller's order.
    pub(super) fn restored(&self, results: Tensor) -> Tensor {
        match &self.restore {
            Some(order) => results.index_select(0, order),
            None => results,
        }
    }
}

/// Rows under construction.
#[derive(Debug, Default)]
struct Rows {
    ids: Vec<i64>,
    positions: Vec<i64>,
    packed: Vec<Packed>,
    sources: Vec<i64>,
    targets: Vec<i64>,
    /// Where each scored token stands in the caller's order.
    places: Vec<i64>,
    segments: Vec<Segment>,
    scored_segments: Vec<Segment>,
}

impl Rows {
    fn add_thicket(&mut self, sequences: &[&TrainSequence], ranges: &[Range<usize>], thicket: &Thicket) {
        let Some((any, _)) = thicket.members.first() else { return };
        let (policy, first, scored) = (sequences[*any].policy, self.ids.len(), self.sources.len());
        self.ids.extend(thicket.ids.iter().map(|&id| i64::from(id)));
        self.positions.extend(&thicket.depths);
        let parents = (!thicket.is_plain()).then(|| thicket.parents.clone());
        self.packed.push(Packed { rows: thicket.ids.len() as i64, parents });
        for (index, rows) in &thicket.members {
            let sequence = sequences[*index];
            for (&token, place) in sequence.scored.iter().zip(ranges[*index].clone()) {
                self.sources.push(first as i64 + i64::from(rows[token as usize - 1]));
                self.targets.push(i64::from(sequence.ids[token as usize]));
                self.places.push(place as i64);
            }
        }
        extend(&mut self.segments, policy, first..self.ids.len());
        extend(&mut self.scored_segments, policy, scored..self.sources.len());
    }

    fn add_tree(&mut self, sequence: &TrainSequence, range: Range<usize>) {
        let (first, scored) = (self.ids.len(), self.sources.len());
        let last_source = sequence.scored.iter().filter_map(|&token| sequence.source(token)).max();
        let rows = last_source.map_or(0, |last| last as usize + 1);
        self.ids.extend(sequence.ids[..rows].iter().map(|&id| i64::from(id)));
        self.positions.extend_from_slice(&sequence.positions()[..rows]);
        let parents = sequence.parents.as_ref().map(|parents| parents[..rows].to_vec());
        self.packed.push(Packed { rows: rows as i64, parents });
        for (&token, place) in sequence.scored.iter().zip(range) {
            // `check` has seen that every scored token has a source.
            self.sources.push(first as i64 + i64::from(sequence.source(token).unwrap_or_default()));
            self.targets.push(i64::from(sequence.ids[token as usize]));
            self.places.push(place as i64);
        }
        extend(&mut self.segments, sequence.policy, first..self.ids.len());
        extend(&mut self.scored_segments, sequence.policy, scored..self.sources.len());
    }
}

fn extend(segments: &mut Vec<Segment>, policy: PolicyId, rows: Range<usize>) {
    match segments.last_mut() {
        Some(last) if last.policy == policy => last.rows.end = rows.end,
        _ => segments.push(Segment { policy, rows }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(tensor: &Tensor) -> Vec<i64> {
        Vec::try_from(tensor).unwrap()
    }

    #[test]
    fn rows_are_sorted_by_policy_and_results_come_back_in_order() {
        let sequence = |policy, ids: &[u32], first| TrainSequence::from_token(PolicyId(policy), ids.to_vec(), first);
        let sequences = [
            sequence(1, &[10, 11, 12], 1),
            sequence(0, &[20, 21], 1),
            sequence(1, &[30], 1), // nothing to score: no rows
            sequence(0, &[40, 41, 42, 43], 3),
        ];
        let pack = Pack::new(&sequences.iter().collect::<Vec<_>>(), Device::Cpu).unwrap();
        assert_eq!(numbers(&pack.ids), [20, 40, 41, 42, 10, 11]);
        assert_eq!(numbers(&pack.positions), [0, 0, 1, 2, 0, 1]);
        assert_eq!(numbers(&pack.sources), [0, 3, 4, 5]);
        assert_eq!(numbers(&pack.targets), [21, 43, 11, 12]);
        let rows: Vec<_> = pack.segments.iter().map(|segment| (segment.policy.0, segment.rows.clone())).collect();
        assert_eq!(rows, [(0, 0..4), (1, 4..6)]);
        assert_eq!(pack.ranges, [0..2, 2..3, 3..3, 3..4]);
        assert_eq!(numbers(&pack.restored(pack.targets.shallow_clone())), [11, 12, 21, 43]);
    }

    #[test]
    fn nothing_scored_is_an_empty_pack() {
        let sequence = TrainSequence::from_token(PolicyId(0), vec![1], 1);
        assert!(Pack::new(&[&sequence], Device::Cpu).unwrap().is_empty());
    }
}
