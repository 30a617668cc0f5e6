//! One forward pass over rows of many sequences, and the draws from it.

use std::time::{Duration, Instant};

use marft_torch::{Draw, Draws, GradMode, PagedRows};
use tch::{Device, Tensor};

use super::kv::{KvStore, PagedAttend};
use super::policies::{Policies, segments};
use super::request::PolicyId;
use super::sequence::Sequence;
use super::stats::{GeneratorStats, PassShape, lap};
use crate::model::{Attend, Decoder, ModelError, RowAdapters, Rows, Site};

/// Rows of the output head at a time: more are slower per row, since their logits leave the processor's cache.
const HEAD_ROWS: usize = 256;

/// What one sequence does in a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Which of the running sequences.
    pub(crate) index: usize,
    /// Positions computed, starting at the sequence's first missing one.
    pub(crate) rows: usize,
    /// Whether they reach its end, so that its next token can be drawn.
    pub(crate) completes: bool,
}

/// Why a pass gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Torch(#[from] marft_torch::Error),
}

/// Runs the rows of `turns`. Returns one list of draws for each turn: for the sequence and its followers where it completes,
/// none where it does not. Changes nothing but the cache, at positions that no sequence counts as computed: it can be repeated.
pub(crate) fn run(
    model: &Decoder,
    policies: &dyn Policies,
    store: &mut KvStore,
    running: &[Sequence],
    turns: &[Turn],
    stats: &mut GeneratorStats,
) -> Result<Vec<Vec<Draw>>, PassError> {
    let _off = GradMode::off();
    let mut clock = Instant::now();
    let device = model.placement().device;
    let input = Input::new(running, turns);
    let (ids, positions) = (input.ids.to_device(device), input.rows.position.to_device(device));
    lap(&mut clock, &mut stats.phases.plan);

    let mut attend = Timed { inner: PagedAttend { store, rows: &input.rows }, spent: Duration::ZERO };
    let adapters = policies.adapters(&segments(input.policies)).map(TimedAdapters::new);
    let rows = Rows { ids: &ids, positions: &positions };
    let hidden = model.hidden(rows, &mut attend, adapters.as_ref().map(|adapters| adapters as &dyn RowAdapters))?;
    let mut whole = Duration::ZERO;
    lap(&mut clock, &mut whole);
    let adapting = adapters.map_or(Duration::ZERO, |adapters| adapters.spent.get());
    stats.phases.attention += attend.spent;
    stats.phases.adapters += adapting;
    stats.phases.blocks += whole.saturating_sub(attend.spent + adapting);

    let shape = PassShape { rows: input.rows.position.size()[0] as usize, head_rows: input.last_rows.len() };
    let mut draws = Vec::with_capacity(input.last_rows.len());
    let last_rows = Tensor::from_slice(&input.last_rows).to_device(device);
    let completing: Vec<&Sequence> =
        turns.iter().filter(|turn| turn.completes).map(|turn| &running[turn.index]).collect();
    for (start, tile) in (0..).step_by(HEAD_ROWS).zip(completing.chunks(HEAD_ROWS)) {
        let hidden = hidden.index_select(0, &last_rows.narrow(0, start, tile.len() as i64));
        let adapters = policies.adapters(&segments(tile.iter().map(|sequence| sequence.variant.policy)));
        let logits = model.logits(&hidden, adapters.as_deref()).to_device(Device::Cpu);
        lap(&mut clock, &mut stats.phases.head);
        draws.extend(draw_tile(&logits, tile)?);
        lap(&mut clock, &mut stats.phases.draw);
    }
    *stats.passes.entry(shape).or_default() += 1;

    let mut draws = draws.into_iter();
    Ok(turns.iter().map(|turn| if turn.completes { draws.next().unwrap_or_default() } else { Vec::new() }).collect())
}

/// Draws for every sequence of a tile of logits and its followers.
fn draw_tile(logits: &Tensor, tile: &[&Sequence]) -> Result<Vec<Vec<Draw>>, marft_torch::Error> {
    let mut wishes = Draws::default();
    for (row, &sequence) in tile.iter().enumerate() {
        for member in std::iter::once(sequence).chain(&sequence.followers) {
            let (request, edits) = member.draw(row);
            wishes.push(request, edits);
            wishes.restrict(member.mask());
        }
    }
    let mut drawn = wishes.draw(logits)?.into_iter();
    Ok(tile.iter().map(|sequence| drawn.by_ref().take(1 + sequence.followers.len()).collect()).collect())
}

/// The tensors of a pass.
struct Input {
    ids: Tensor,
    rows: PagedRows,
    policies: Vec<PolicyId>,
    /// The last row of every turn that completes.
    last_rows: Vec<i64>,
}

impl Input {
    fn new(running: &[Sequence], turns: &[Turn]) -> Self {
        let width = turns.iter().map(|turn| running[turn.index].blocks.len()).max().unwrap_or(0);
        let mut tables = vec![-1i32; turns.len() * width];
        let (mut ids, mut positions, mut owners) = (Vec::new(), Vec::new(), Vec::new());
        let (mut policies, mut last_rows) = (Vec::new(), Vec::new());
        for (number, turn) in turns.iter().enumerate() {
            let sequence = &running[turn.index];
            for (slot, &block) in tables[number * width..].iter_mut().zip(&sequence.blocks) {
                *slot = block as i32;
            }
            for position in sequence.computed..sequence.computed + turn.rows {
                ids.push(i64::from(sequence.ids[position]));
                positions.push(position as i64);
                owners.push(number as i32);
                policies.push(sequence.variant.policy);
            }
            if turn.completes {
                last_rows.push(ids.len() as i64 - 1);
            }
        }
        let rows = PagedRows {
            tables: Tensor::from_slice(&tables).view([turns.len() as i64, width as i64]),
            sequence: Tensor::from_slice(&owners),
            position: Tensor::from_slice(&positions),
        };
        Self { ids: Tensor::from_slice(&ids), rows, policies, last_rows }
    }
}

/// Attention that notes its time.
struct Timed<A> {
    inner: A,
    spent: Duration,
}

impl<A: Attend> Attend for Timed<A> {
    fn attend(
        &mut self,
        layer: usize,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        window: Option<usize>,
        scale: f64,
    ) -> Tensor {
        let start = Instant::now();
        let mixed = self.inner.attend(layer, query, key, value, window, scale);
        self.spent += start.elapsed();
        mixed
    }
}

/// Adapters that note their time.
struct TimedAdapters<'a> {
    inner: Box<dyn RowAdapters + 'a>,
    spent: std::cell::Cell<Duration>,
}

impl<'a> TimedAdapters<'a> {
    fn new(inner: Box<dyn RowAdapters + 'a>) -> Self {
        Self { inner, spent: std::cell::Cell::default() }
    }
}

impl RowAdapters for TimedAdapters<'_> {
    fn add(&self, layer: usize, site: Site, x: &Tensor, out: Tensor) -> Tensor {
        let start = Instant::now();
        let out = self.inner.add(layer, site, x, out);
        self.spent.set(self.spent.get() + start.elapsed());
        out
    }
}
