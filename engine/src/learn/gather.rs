//! Gather: sound episodes to rows, the token sequences of the agents that learn.

use std::collections::BTreeMap;

use marft_agents::train::TrainSequence;
use marft_algorithms::trajectory::TurnIds;

use super::{Cohort, LearnError};
use crate::episode::{EpisodeRecord, Segment, SpanKind};

/// What a turn said in one segment, which counts as an action. Where a turn has several, the last is its answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Spoken {
    /// Where it belongs.
    pub(super) ids: TurnIds,
    /// The turn in its episode's record.
    pub(super) turn: usize,
    /// The row that holds its tokens.
    pub(super) row: usize,
    /// The segment of the record that the row is.
    pub(super) segment: usize,
    /// Log-probability of each token as it was recorded, under the distribution it was sampled from or, where that was held to a
    /// form, the policy's own; nats.
    pub(super) logprobs: Vec<f32>,
    /// Positions of the tokens in the row.
    pub(super) positions: Vec<u32>,
    /// Whether it may teach: a truncated answer may be left out.
    pub(super) in_loss: bool,
    /// Hash of what the agent was shown for it: the state in which it acted.
    pub(super) anchor: u64,
    /// Words of what it said.
    pub(super) words: usize,
}

/// A token sequence.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// What the device is given; scores every token of its turns.
    pub(super) sequence: TrainSequence,
    /// The agent, by index in the cohort.
    pub(super) player: usize,
    /// Its turns, in the order of their tokens, by index in [`Gathered::turns`].
    pub(super) turns: Vec<usize>,
}

/// The part of the episodes that one cohort said.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Gathered {
    pub(super) rows: Vec<Row>,
    /// Turns, episode after episode, in the order of the transcripts.
    pub(super) turns: Vec<Spoken>,
    /// Where each episode's turns are, and the record's index.
    pub(super) episodes: Vec<(usize, std::ops::Range<usize>)>,
}

/// Takes what `cohort` said out of the records. Episodes in which it said nothing, or which are not sound, are left out.
pub(super) fn gather(records: &[EpisodeRecord], cohort: &Cohort) -> Result<Gathered, LearnError> {
    let mut gathered = Gathered::default();
    let mut groups: BTreeMap<&str, u32> = BTreeMap::new();
    for (index, record) in records.iter().enumerate().filter(|(_, record)| record.is_sound()) {
        let first = gathered.turns.len();
        let next_group = groups.len() as u32;
        let group = *groups.entry(record.task.as_str()).or_insert(next_group);
        let episode = gathered.episodes.len() as u32;
        take_turns(record, cohort, TurnIds { episode, group, ..TurnIds::default() }, &mut gathered)?;
        if gathered.turns.len() > first {
            gathered.episodes.push((index, first..gathered.turns.len()));
        }
    }
    Ok(gathered)
}

fn take_turns(
    record: &EpisodeRecord,
    cohort: &Cohort,
    ids: TurnIds,
    gathered: &mut Gathered,
) -> Result<(), LearnError> {
    let mut parts = parts(record)?;
    let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
    let mut nodes: BTreeMap<(usize, u32), u32> = BTreeMap::new();
    for (turn, said) in record.turns.iter().enumerate() {
        let (Some(player), Some(last)) = (cohort.player(&said.agent), said.segment) else { continue };
        let agent = player as u32;
        let next_node = nodes.len() as u32;
        let node = *nodes.entry((player, said.round)).or_insert(next_node);
        let policy = cohort.players[player].policy.0;
        let role = cohort.players[player].place as u32;
        let ids = TurnIds { step: said.step, agent, role, policy, node, ..ids };
        let cut_off = cohort.algorithm.mask_truncated && said.finish == "max_tokens";
        let of_turn = parts.remove(&turn).unwrap_or_default();
        // a turn that said nothing in its last segment is an empty action there
        let answer = of_turn.get(&last).cloned().unwrap_or_default();
        let earlier = of_turn.into_iter().filter(|(segment, part)| *segment != last && !part.positions.is_empty());
        for (segment, part) in earlier.chain([(last, answer)]) {
            let Part { positions, logprobs, in_loss, anchor } = part;
            let row = *rows.entry(segment).or_insert_with(|| {
                gathered.rows.push(row_of(&record.segments[segment], player, cohort));
                gathered.rows.len() - 1
            });
            gathered.rows[row].turns.push(gathered.turns.len());
            gathered.rows[row].sequence.scored.extend(&positions);
            gathered.turns.push(Spoken {
                ids,
                turn,
                row,
                segment,
                words: if segment == last { said.text.split_whitespace().count() } else { positions.len() },
                logprobs,
                positions,
                in_loss: in_loss && !(cut_off && segment == last),
                anchor,
            });
        }
    }
    Ok(())
}

fn row_of(segment: &Segment, player: usize, cohort: &Cohort) -> Row {
    let sequence = TrainSequence {
        policy: cohort.players[player].policy,
        ids: segment.ids.clone(),
        scored: vec![],
        parents: None,
        critic: cohort.head(player),
    };
    Row { sequence, player, turns: vec![] }
}

/// What one turn said in one segment. A context that was summed up or shortened within a turn leaves parts in several.
#[derive(Debug, Clone, Default)]
struct Part {
    positions: Vec<u32>,
    logprobs: Vec<f32>,
    in_loss: bool,
    anchor: u64,
}

/// The sampled tokens of every turn of a record, by segment.
fn parts(record: &EpisodeRecord) -> Result<BTreeMap<usize, BTreeMap<usize, Part>>, LearnError> {
    let mut parts: BTreeMap<usize, BTreeMap<usize, Part>> = BTreeMap::new();
    for (at, segment) in record.segments.iter().enumerate() {
        let mut logprobs = segment.logprobs.iter();
        for (start, span) in segment.placed() {
            let of = parts.entry(span.turn).or_default().entry(at).or_default();
            match span.kind {
                SpanKind::Observed => of.anchor = hash(of.anchor, &segment.ids[start..start + span.length]),
                SpanKind::Demonstrated => {}
                SpanKind::Sampled { in_loss, .. } => {
                    of.positions.extend((start..start + span.length).map(|at| at as u32));
                    of.logprobs.extend(logprobs.by_ref().take(span.length));
                    of.in_loss = in_loss;
                    if start == 0 && span.length > 0 {
                        let reason = "a sequence begins with a sampled token, which nothing predicts".to_owned();
                        return Err(LearnError::Record { episode: record.id.clone(), reason });
                    }
                }
            }
        }
    }
    Ok(parts)
}

/// FNV-1a over token ids.
fn hash(seed: u64, ids: &[u32]) -> u64 {
    let start = if seed == 0 { 0xcbf2_9ce4_8422_2325 } else { seed };
    ids.iter()
        .flat_map(|id| id.to_le_bytes())
        .fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
