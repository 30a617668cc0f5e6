//! The record of an episode while it is being written.
//!
//! Turns end in any order; a record tells them in the order of their keys, so that it does not depend on the schedule.

use std::collections::HashMap;
use std::sync::Arc;

use marft_topologies::turns::{Key, Turn, TurnId};

use super::conversation::Conversation;
use super::graph::NodeRule;
use crate::episode::{FaultKind, FaultRecord, Segment, TurnRecord};

/// A record under construction.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) turns: Vec<Line>,
    pub(super) segments: Vec<Segment>,
    /// What turns leave behind for those that continue them.
    pub(super) conversations: HashMap<TurnId, Conversation>,
    /// Segments of the parent, by where they are in this one.
    pub(super) repeated: HashMap<usize, usize>,
    /// By label: turns of it that were written down.
    asked: Vec<u32>,
    pub(super) faults: Vec<FaultRecord>,
}

/// One turn as it is kept until the episode closes.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) key: Key,
    pub(super) node: u32,
    pub(super) step: u32,
    pub(super) round: u32,
    /// How many turns of the same label were written down before.
    pub(super) earlier: u32,
    pub(super) text: String,
    pub(super) segment: Option<usize>,
    pub(super) tokens: usize,
    pub(super) finish: &'static str,
    pub(super) cached: usize,
    pub(super) seconds: f32,
}

impl Draft {
    /// Writes a turn down when it is first asked; gives its place.
    pub(super) fn begin(&mut self, turn: &Turn, rule: &NodeRule) -> usize {
        if self.asked.len() <= rule.label_id {
            self.asked.resize(rule.label_id + 1, 0);
        }
        let asked = &mut self.asked[rule.label_id];
        let earlier = *asked;
        *asked += 1;
        self.turns.push(Line {
            key: turn.key.clone(),
            node: turn.node.index() as u32,
            step: turn.step,
            round: turn.round,
            earlier,
            text: String::new(),
            segment: None,
            tokens: 0,
            finish: "unanswered",
            cached: 0,
            seconds: 0.0,
        });
        self.turns.len() - 1
    }

    pub(super) fn fault(&mut self, kind: FaultKind, turn: Option<usize>, message: String, recovered: bool) {
        self.faults.push(FaultRecord { kind: kind.name().to_owned(), turn, message, recovered });
    }

    /// Turns, segments and faults in canonical order, segments and faults pointing at the reordered turns.
    pub(super) fn close(&mut self, nodes: &[NodeRule]) -> (Vec<(Key, TurnRecord)>, Vec<Segment>, Vec<FaultRecord>) {
        let lines = std::mem::take(&mut self.turns);
        let mut segments = std::mem::take(&mut self.segments);
        let mut faults = std::mem::take(&mut self.faults);
        if lines.is_sorted_by(|a, b| a.key < b.key) && in_order(&segments) {
            return (lines.into_iter().map(|line| line.record(nodes)).collect(), segments, faults);
        }
        let mut order: Vec<usize> = (0..lines.len()).collect();
        order.sort_by(|a, b| lines[*a].key.cmp(&lines[*b].key));
        let place = inverse(&order);
        for span in segments.iter_mut().flat_map(|segment| &mut segment.spans) {
            span.turn = place[span.turn];
        }
        for turn in faults.iter_mut().filter_map(|fault| fault.turn.as_mut()) {
            *turn = place[*turn];
        }
        // segments in the order of their first turn; those of one turn as they came
        let mut segment_order: Vec<usize> = (0..segments.len()).collect();
        segment_order.sort_by_key(|at| first_turn(&segments[*at]));
        let segment_place = inverse(&segment_order);
        let turns = permute(lines, &order).map(|mut line| {
            line.segment = line.segment.map(|segment| segment_place[segment]);
            line.record(nodes)
        });
        (turns.collect(), permute(segments, &segment_order).collect(), faults)
    }
}

impl Line {
    fn record(self, nodes: &[NodeRule]) -> (Key, TurnRecord) {
        let record = TurnRecord {
            agent: Arc::clone(&nodes[self.node as usize].label),
            key: self.key.path().to_vec(),
            step: self.step,
            round: self.round,
            text: self.text,
            fields: vec![],
            segment: self.segment,
            tokens: self.tokens,
            finish: self.finish.into(),
            cached: self.cached,
            seconds: self.seconds,
        };
        (self.key, record)
    }
}

fn first_turn(segment: &Segment) -> usize {
    segment.spans.first().map_or(usize::MAX, |span| span.turn)
}

fn in_order(segments: &[Segment]) -> bool {
    segments.is_sorted_by_key(first_turn)
}

fn inverse(order: &[usize]) -> Vec<usize> {
    let mut place = vec![0; order.len()];
    for (at, from) in order.iter().enumerate() {
        place[*from] = at;
    }
    place
}

fn permute<T>(items: Vec<T>, order: &[usize]) -> impl Iterator<Item = T> {
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    order.iter().filter_map(move |at| items[*at].take())
}
