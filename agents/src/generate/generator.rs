//! The continuous batch: requests of all policies decoded together, one pass after the other.
//!
//! A step admits what fits, runs one pass over the next rows of every running sequence (one row where it decodes, a chunk where
//! it still reads its prompt) and hands out tokens. Sequences stand in the batch by policy, so that adapters meet runs of rows,
//! and by group, so that samples of one prompt read its blocks side by side.
//!
//! A pass that fails (an error of libtorch, a panic) is repeated over halves of its sequences until the one at fault stands
//! alone; that one ends with an error and the others never notice.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use marft_torch::Draw;

use super::kv::store::{KvStore, block_size, bytes_per_block};
use super::kv::{KvCache, Variant};
use super::pass::{self, Turn};
use super::policies::Policies;
use super::request::{FinishReason, GenerateError, GenerateEvent, GenerateRequest, PolicyId, RequestId, SampledToken};
use super::sequence::Sequence;
use super::stats::{GeneratorStats, lap};
use super::stop::TokenBytes;
use crate::model::{Decoder, ModelError};

/// Sizes of a generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GeneratorOptions {
    /// Memory for keys and values, in bytes.
    pub cache_bytes: usize,
    /// Sequences in the batch at once.
    pub max_running: usize,
    /// Rows of one pass: what decoding leaves of them, or a quarter of them if that is more, goes to reading prompts.
    pub pass_rows: usize,
    /// Requests that may wait; more are refused as [`GenerateError::Busy`].
    pub max_waiting: usize,
}

impl Default for GeneratorOptions {
    fn default() -> Self {
        Self { cache_bytes: 2 << 30, max_running: 1024, pass_rows: 512, max_waiting: 1 << 16 }
    }
}

/// The batch of one device.
#[derive(Debug)]
pub struct Generator {
    options: GeneratorOptions,
    tokens: Arc<dyn TokenBytes>,
    vocabulary: usize,
    context: usize,
    pub(super) cache: KvCache,
    pub(super) waiting: VecDeque<Sequence>,
    /// Sorted by policy, group and id.
    pub(super) running: Vec<Sequence>,
    /// Sequences of failed passes, to be run apart from all others; the last first.
    suspects: Vec<Vec<RequestId>>,
    /// Blocks ran out: admit nobody until somebody leaves.
    pub(super) pressed: bool,
    pub(super) stats: GeneratorStats,
    pub(super) events: Vec<(RequestId, GenerateEvent)>,
}

impl Generator {
    /// An empty batch for `model`, whose tokens stand for the text that `tokens` says.
    ///
    /// # Errors
    /// The device has no room for the cache.
    pub fn new(model: &Decoder, tokens: Arc<dyn TokenBytes>, options: GeneratorOptions) -> Result<Self, ModelError> {
        let blocks = Self::blocks(model, options);
        Ok(Self::with_store(model, tokens, options, KvStore::new(model, blocks)?))
    }

    fn blocks(model: &Decoder, options: GeneratorOptions) -> usize {
        let per_block = bytes_per_block(model.config(), model.placement().kind);
        (options.cache_bytes / per_block).clamp(1, i32::MAX as usize)
    }

    fn with_store(model: &Decoder, tokens: Arc<dyn TokenBytes>, options: GeneratorOptions, store: KvStore) -> Self {
        Self {
            options,
            tokens,
            vocabulary: model.config().vocab,
            context: model.config().context,
            cache: KvCache::new(store, Self::blocks(model, options)),
            waiting: VecDeque::new(),
            running: Vec::new(),
            suspects: Vec::new(),
            pressed: false,
            stats: GeneratorStats::default(),
            events: Vec::new(),
        }
    }

    /// Takes a request on. It fails here if it could never be answered, and later through [`step`](Self::step)'s events.
    pub fn submit(
        &mut self,
        id: RequestId,
        request: GenerateRequest,
        policies: &dyn Policies,
    ) -> Result<(), GenerateError> {
        let policy = request.policy;
        let version = policies.version(policy).ok_or(GenerateError::UnknownPolicy(policy))?;
        self.check(&request)?;
        let variant = Variant { policy, version };
        self.waiting.push_back(Sequence::new(id, request, variant, &self.tokens)?);
        Ok(())
    }

    fn check(&self, request: &GenerateRequest) -> Result<(), GenerateError> {
        let (tokens, limit, vocabulary) = (request.prompt.len(), self.context, self.vocabulary);
        request.sampling.check(vocabulary)?;
        if tokens == 0 {
            return Err(GenerateError::EmptyPrompt);
        }
        if tokens >= limit {
            return Err(GenerateError::PromptTooLong { tokens, limit });
        }
        if let Some(&id) = request.prompt.iter().find(|&&id| id as usize >= vocabulary) {
            return Err(GenerateError::TokenOutOfRange { id, vocabulary });
        }
        let longest = tokens.saturating_add(request.sampling.max_tokens).min(limit);
        let (needed, budget) = (longest.div_ceil(block_size()), self.cache.capacity());
        if needed > budget {
            return Err(GenerateError::CacheTooSmall { needed, budget });
        }
        let capacity = self.options.max_waiting;
        if self.waiting.len() >= capacity { Err(GenerateError::Busy { capacity }) } else { Ok(()) }
    }

    /// Withdraws a request; its last event is [`GenerateError::Cancelled`]. Nothing happens if it has ended.
    pub fn cancel(&mut self, id: RequestId) {
        self.end_where(|sequence| (sequence.id == id).then_some(GenerateError::Cancelled));
    }

    /// Whether no request waits or runs.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Whether a request of `policy` waits or runs.
    pub fn serves(&self, policy: PolicyId) -> bool {
        self.waiting.iter().chain(&self.running).any(|sequence| sequence.variant.policy == policy)
    }

    /// Forgets what was read for `policy`: after its weights have changed, or at its removal.
    pub fn forget(&mut self, policy: PolicyId) {
        self.cache.forget(policy);
    }

    /// Forgets everything that was read: after the base has changed.
    pub fn forget_all(&mut self) {
        self.cache.forget_all();
    }

    /// Counters so far.
    pub fn stats(&self) -> &GeneratorStats {
        &self.stats
    }

    /// Ends every request with an error.
    pub fn end_all(&mut self, error: &GenerateError) -> Vec<(RequestId, GenerateEvent)> {
        self.end_where(|_| Some(error.clone()));
        std::mem::take(&mut self.events)
    }

    /// One pass. Returns what happened since the last call, in order; empty when there was nothing to do.
    pub fn step(&mut self, model: &Decoder, policies: &dyn Policies) -> Vec<(RequestId, GenerateEvent)> {
        let mut clock = Instant::now();
        let now = clock;
        self.end_where(|sequence| {
            let late = sequence.request.deadline.is_some_and(|deadline| deadline <= now);
            late.then(|| GenerateError::Deadline { generated: sequence.generated() })
        });
        self.admit(self.options.max_running);
        let turns = self.turns();
        lap(&mut clock, &mut self.stats.phases.plan);
        if !turns.is_empty() {
            let (cache, running, stats) = (&mut self.cache, &self.running, &mut self.stats);
            // Whatever unwinds leaves the cache with unfinished rows only, which nobody counts as computed.
            let outcome =
                catch_unwind(AssertUnwindSafe(|| pass::run(model, policies, &mut cache.store, running, &turns, stats)));
            clock = Instant::now();
            match outcome {
                Ok(Ok(draws)) => self.apply(&turns, draws),
                Ok(Err(error)) => self.suspect(&turns, &error.to_string()),
                Err(panic) => self.suspect(&turns, &panic_message(&*panic)),
            }
            lap(&mut clock, &mut self.stats.phases.apply);
        }
        std::mem::take(&mut self.events)
    }

    /// The rows of the next pass. Blocks are made sure of here; who gets none is put back to wait.
    fn turns(&mut self) -> Vec<Turn> {
        let alone = self.suspects.last().cloned();
        let takes_part = |sequence: &Sequence| alone.as_ref().is_none_or(|ids| ids.contains(&sequence.id));
        let decoding = self.running.iter().filter(|sequence| takes_part(sequence) && !sequence.prefilling()).count();
        let mut budget = self.options.pass_rows.saturating_sub(decoding).max(self.options.pass_rows.div_ceil(4));
        // Prompts are read in the order of arrival, whatever the order of the batch.
        let mut order: Vec<RequestId> =
            self.running.iter().filter(|sequence| takes_part(sequence)).map(|sequence| sequence.id).collect();
        order.sort_unstable();
        let mut planned = Vec::new();
        for id in order {
            let Some(index) = self.running.iter().position(|sequence| sequence.id == id) else { continue };
            let sequence = &self.running[index];
            let missing = sequence.ids.len() - sequence.computed;
            let rows = if sequence.prefilling() { missing.min(budget) } else { missing };
            if rows == 0 {
                continue;
            }
            if self.running[index].prefilling() {
                budget -= rows;
            }
            if self.make_room(id, self.running[index].computed + rows) {
                planned.push((id, rows, rows == missing));
            }
        }
        // Making room may have moved or put back sequences that were planned before.
        let mut turns: Vec<Turn> = planned
            .into_iter()
            .filter_map(|(id, rows, completes)| {
                let index = self.running.iter().position(|sequence| sequence.id == id)?;
                Some(Turn { index, rows, completes })
            })
            .collect();
        turns.sort_unstable_by_key(|turn| turn.index);
        if turns.is_empty() && alone.is_some() {
            self.suspects.pop();
            return self.turns();
        }
        turns
    }

    /// Hands out the draws of a pass that went well.
    fn apply(&mut self, turns: &[Turn], draws: Vec<Vec<Draw>>) {
        let mut finished = Vec::new();
        let mut forked = Vec::new();
        for (turn, draws) in turns.iter().zip(draws) {
            let sequence = &mut self.running[turn.index];
            let prefilling = sequence.prefilling();
            sequence.computed += turn.rows;
            if sequence.fresh() {
                self.stats.prefilled += turn.rows as u64;
            }
            if prefilling {
                self.cache.remember(sequence.variant, &sequence.ids[..sequence.computed], &sequence.blocks);
            }
            if !turn.completes {
                continue;
            }
            let followers = std::mem::take(&mut sequence.followers);
            let (own, others) = draws.split_first().expect("a turn that completes draws for its sequence");
            for (follower, draw) in followers.into_iter().zip(others) {
                forked.push((turn.index, follower, *draw));
            }
            if let Some(end) = Self::accept(sequence, *own, self.context, &mut self.stats, &mut self.events) {
                finished.push((sequence.id, end));
            }
        }
        for (index, follower, draw) in forked {
            finished.extend(self.fork(index, follower, draw));
        }
        for (id, end) in finished {
            let index = self.running.iter().position(|sequence| sequence.id == id);
            let sequence = self.running.remove(index.expect("it has just run"));
            self.leave(sequence, end);
        }
        self.running.sort_by_key(|sequence| (sequence.variant, sequence.group, sequence.id));
        if self.suspects.pop().is_some() {
            tracing::debug!("part of a failed pass went well by itself");
        }
    }

    /// Starts a follower where its leader has just read the prompt.
    fn fork(&mut self, leader: usize, mut follower: Sequence, draw: Draw) -> Option<(RequestId, End)> {
        let prompt = follower.ids.len();
        let Some(blocks) = self.cache.fork(&self.running[leader].blocks, prompt) else {
            self.pressed = true;
            self.waiting.push_front(follower);
            return None;
        };
        follower.blocks = blocks;
        follower.admit(prompt);
        self.stats.cached += prompt as u64;
        let end = Self::accept(&mut follower, draw, self.context, &mut self.stats, &mut self.events);
        let id = follower.id;
        self.running.push(follower);
        end.map(|end| (id, end))
    }

    /// Gives a sequence its token; how it ended, if it did.
    fn accept(
        sequence: &mut Sequence,
        draw: Draw,
        context: usize,
        stats: &mut GeneratorStats,
        events: &mut Vec<(RequestId, GenerateEvent)>,
    ) -> Option<End> {
        if sequence.request.sampling.max_tokens == 0 {
            return Some(Ok(FinishReason::MaxTokens));
        }
        let Ok(id) = u32::try_from(draw.id) else {
            let Variant { policy, version } = sequence.variant;
            return Some(Err(GenerateError::NonFinite { policy, version, position: sequence.ids.len() }));
        };
        let token = SampledToken { id, logprob: draw.logprob, logprob_t1: draw.logprob_t1, entropy: draw.entropy };
        stats.generated += 1;
        if sequence.request.stream {
            events.push((sequence.id, GenerateEvent::Token(token)));
        }
        sequence.push(token, context)
    }

    /// Sends a sequence's last event and lets go of its blocks; its full blocks are remembered for the next turn of the agent.
    fn leave(&mut self, mut sequence: Sequence, end: End) {
        if end.is_ok() {
            self.cache.remember(sequence.variant, &sequence.ids[..sequence.computed], &sequence.blocks);
        }
        self.cache.release(&mut sequence.blocks);
        self.pressed = false;
        let id = sequence.id;
        self.events.push((id, GenerateEvent::Done(end.map(|finish| sequence.respond(finish)))));
    }

    /// A pass failed: its sequences are tried again in halves, and the last one left is at fault.
    fn suspect(&mut self, turns: &[Turn], message: &str) {
        self.stats.failed_passes += 1;
        let ids: Vec<RequestId> = turns.iter().map(|turn| self.running[turn.index].id).collect();
        self.suspects.pop();
        if let [id] = ids[..] {
            tracing::warn!(request = id.0, message, "a request made its pass fail");
            let error = GenerateError::Device(message.to_owned());
            let group: Vec<RequestId> =
                self.running[turns[0].index].followers.iter().map(|f| f.id).chain([id]).collect();
            self.end_where(|sequence| group.contains(&sequence.id).then(|| error.clone()));
        } else {
            let (left, right) = ids.split_at(ids.len() / 2);
            self.suspects.extend([right.to_vec(), left.to_vec()]);
        }
    }

    /// Ends every sequence for which `reason` gives an error, waiting, running or following.
    fn end_where(&mut self, mut reason: impl FnMut(&Sequence) -> Option<GenerateError>) {
        let mut ended = Vec::new();
        let waiting = std::mem::take(&mut self.waiting);
        for sequence in waiting {
            match reason(&sequence) {
                Some(error) => ended.push((sequence, error)),
                None => self.waiting.push_back(sequence),
            }
        }
        let running = std::mem::take(&mut self.running);
        for mut sequence in running {
            let followers = std::mem::take(&mut sequence.followers);
            let mut kept = Vec::new();
            for follower in followers {
                match reason(&follower) {
                    Some(error) => ended.push((follower, error)),
                    None => kept.push(follower),
                }
            }
            if let Some(error) = reason(&sequence) {
                ended.push((sequence, error));
                // They have lost their reader and start for themselves.
                kept.into_iter().rev().for_each(|follower| self.waiting.push_front(follower));
            } else {
                sequence.followers = kept;
                self.running.push(sequence);
            }
        }
        for (sequence, error) in ended {
            self.leave(sequence, Err(error));
        }
    }
}

/// How a request ended.
type End = Result<FinishReason, GenerateError>;

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").lines().next().unwrap_or_default().to_owned()
}
