//! The record of an episode while it is being written.
//!
//! Turns end in any order; a record tells them in the order of their keys, so that it does not depend on the schedule.

use std::collections::BTreeMap;

use marft_topologies::turns::{Key, Turn, TurnId};

use crate::episode::{FaultRecord, Segment, TurnRecord};
use crate::voice::Line;

/// A record under construction.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) turns: Vec<(Key, TurnRecord)>,
    pub(super) segments: Vec<Segment>,
    /// Where each turn's conversation is kept, and whether it ended its turn itself.
    pub(super) contexts: BTreeMap<TurnId, Context>,
    places: BTreeMap<TurnId, usize>,
    pub(super) faults: Vec<FaultRecord>,
    pub(super) entropy: f64,
}

/// What a turn leaves behind for those that continue it.
#[derive(Debug, Clone)]
pub(super) enum Context {
    /// Tokens, in this segment.
    Tokens {
        /// Index of the segment.
        segment: usize,
        /// Whether the turn ended with an end of turn.
        ended: bool,
    },
    /// Messages.
    Words(Vec<Line>),
}

impl Draft {
    /// Where a turn is written down; made when it is first asked.
    pub(super) fn place(&mut self, turn: &Turn, agent: &str) -> usize {
        *self.places.entry(turn.id).or_insert_with(|| {
            let record = TurnRecord {
                agent: agent.to_owned(),
                step: turn.step,
                round: turn.round,
                text: String::new(),
                fields: vec![],
                segment: None,
                tokens: 0,
                finish: "unanswered".to_owned(),
                cached: 0,
            };
            self.turns.push((turn.key.clone(), record));
            self.turns.len() - 1
        })
    }

    /// How many turns of the same agent were written down before the one at `place`.
    pub(super) fn earlier(&self, place: usize) -> usize {
        let agent = &self.turns[place].1.agent;
        self.turns[..place].iter().filter(|(_, turn)| turn.agent == *agent).count()
    }

    /// Turns and segments in canonical order, segments pointing at the reordered turns.
    pub(super) fn ordered(&mut self) -> (Vec<TurnRecord>, Vec<Segment>) {
        let turns = std::mem::take(&mut self.turns);
        let mut order: Vec<usize> = (0..turns.len()).collect();
        order.sort_by(|a, b| turns[*a].0.cmp(&turns[*b].0));
        let mut place = vec![0; turns.len()];
        for (at, turn) in order.iter().enumerate() {
            place[*turn] = at;
        }
        let mut segments = std::mem::take(&mut self.segments);
        for segment in &mut segments {
            for span in &mut segment.spans {
                span.turn = place[span.turn];
            }
        }
        // segments in the order of their first turn
        let mut segment_order: Vec<usize> = (0..segments.len()).collect();
        segment_order.sort_by_key(|at| segments[*at].spans.first().map_or(usize::MAX, |span| span.turn));
        let mut segment_place = vec![0; segments.len()];
        for (at, segment) in segment_order.iter().enumerate() {
            segment_place[*segment] = at;
        }
        let mut records: Vec<Option<TurnRecord>> = turns.into_iter().map(|(_, record)| Some(record)).collect();
        let turns = order
            .into_iter()
            .filter_map(|turn| records[turn].take())
            .map(|mut record| {
                record.segment = record.segment.map(|segment| segment_place[segment]);
                record
            })
            .collect();
        let mut segments: Vec<Option<Segment>> = segments.into_iter().map(Some).collect();
        (turns, segment_order.into_iter().filter_map(|at| segments[at].take()).collect())
    }
}
