//! One request on its way through the batch: its tokens, its blocks, and what its answer has gathered so far.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use marft_torch::{DrawRequest, Edit};

use super::guide::Guide;
use super::kv::{BlockId, Variant};
use super::random::uniform;
use super::request::{
    FinishReason, GenerateError, GenerateRequest, GenerateResponse, RequestId, SampledToken, Timings,
};
use super::stop::{StopMatcher, TokenBytes};

/// A request, waiting or running.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) id: RequestId,
    pub(crate) request: GenerateRequest,
    pub(crate) variant: Variant,
    /// Prompt and answer.
    pub(crate) ids: Vec<u32>,
    /// How many of `ids` have their keys and values in the cache.
    pub(crate) computed: usize,
    pub(crate) blocks: Vec<BlockId>,
    /// Requests with this very prompt, which start as soon as it is read.
    pub(crate) followers: Vec<Self>,
    /// The request that read the prompt; samples of one prompt stand together in the batch.
    pub(crate) group: RequestId,
    pub(crate) cached_prompt_tokens: Option<usize>,
    answer: Vec<SampledToken>,
    stop: Option<StopMatcher>,
    edits: BTreeMap<u32, Edit>,
    guide: Option<Guide>,
    submitted: Instant,
    admitted: Option<Instant>,
    first: Option<Instant>,
}

impl Sequence {
    /// A request that waits. Fails if its answer cannot be held to the form asked for.
    pub(crate) fn new(
        id: RequestId,
        request: GenerateRequest,
        variant: Variant,
        tokens: &Arc<dyn TokenBytes>,
    ) -> Result<Self, GenerateError> {
        let sampling = &request.sampling;
        let guide = |form| Guide::start(form, &**tokens, &sampling.suppressed);
        let guide = sampling.constraint.as_ref().map(guide).transpose()?;
        let mut edits: BTreeMap<u32, Edit> = BTreeMap::new();
        if sampling.repetition_penalty != 1.0 {
            edits.extend(request.prompt.iter().map(|&id| (id, Edit::SEEN)));
        }
        for &id in &sampling.suppressed {
            edits.entry(id).and_modify(|edit| *edit = *edit | Edit::SUPPRESSED).or_insert(Edit::SUPPRESSED);
        }
        Ok(Self {
            id,
            variant,
            ids: request.prompt.clone(),
            computed: 0,
            blocks: Vec::new(),
            followers: Vec::new(),
            group: id,
            cached_prompt_tokens: None,
            answer: Vec::new(),
            stop: StopMatcher::new(&sampling.stop, tokens),
            edits,
            guide,
            submitted: Instant::now(),
            admitted: None,
            first: None,
            request,
        })
    }

    /// Notes that it has joined the batch; again after it was put back.
    pub(crate) fn admit(&mut self, cached: usize) {
        self.admitted.get_or_insert_with(Instant::now);
        self.cached_prompt_tokens.get_or_insert(cached);
        self.computed = cached;
    }

    /// Whether it is still reading what stands before its next token.
    pub(crate) fn prefilling(&self) -> bool {
        self.ids.len() - self.computed > 1 || self.answer.is_empty()
    }

    /// Whether it has sampled nothing yet.
    pub(crate) fn fresh(&self) -> bool {
        self.answer.is_empty()
    }

    /// Tokens sampled so far.
    pub(crate) fn generated(&self) -> usize {
        self.answer.len()
    }

    /// What it draws from row `row`: parameters and edits.
    pub(crate) fn draw(&self, row: usize) -> (DrawRequest, impl Iterator<Item = (u32, Edit)> + '_) {
        let sampling = &self.request.sampling;
        let uniform = uniform(self.request.seed, self.answer.len() as u64);
        let mut draw = DrawRequest::new(row, sampling.temperature, uniform);
        draw.top_k = i64::from(sampling.top_k);
        draw.top_p = sampling.top_p;
        draw.min_p = sampling.min_p;
        draw.repetition = sampling.repetition_penalty;
        draw.presence = sampling.presence_penalty;
        (draw, self.edits.iter().map(|(&id, &edit)| (id, edit)))
    }

    /// A bit for each id that it may draw; empty where it may draw any.
    pub(crate) fn mask(&self) -> &[u32] {
        self.guide.as_ref().map_or(&[], Guide::allowed)
    }

    /// Appends a sampled token; how the answer ended if it was the last.
    pub(crate) fn push(&mut self, token: SampledToken, context: usize) -> Option<Result<FinishReason, GenerateError>> {
        self.append(token);
        // A form is complete only with the id that ends it, so that comes first.
        match self.guide.as_mut().map(|guide| guide.accept(token.id, &self.request.sampling.suppressed)) {
            Some(Ok(true)) => Some(Ok(FinishReason::StopId(token.id))),
            Some(Err(error)) => self.finish(token.id, context).map(Ok).or(Some(Err(error))),
            Some(Ok(false)) | None => self.finish(token.id, context).map(Ok),
        }
    }

    fn append(&mut self, token: SampledToken) {
        self.first.get_or_insert_with(Instant::now);
        self.answer.push(token);
        self.ids.push(token.id);
        let sampling = &self.request.sampling;
        let mut mark = Edit::NONE;
        if sampling.repetition_penalty != 1.0 {
            mark = mark | Edit::SEEN;
        }
        if sampling.presence_penalty != 0.0 {
            mark = mark | Edit::ANSWERED;
        }
        if mark != Edit::NONE {
            self.edits.entry(token.id).and_modify(|edit| *edit = *edit | mark).or_insert(mark);
        }
    }

    /// Whether token `id`, the last one appended, ends the answer.
    fn finish(&mut self, id: u32, context: usize) -> Option<FinishReason> {
        let sampling = &self.request.sampling;
        if sampling.stop_ids.contains(&id) {
            return Some(FinishReason::StopId(id));
        }
        if let Some(index) = self.stop.as_mut().and_then(|stop| stop.push(id)) {
            return Some(FinishReason::StopString(index));
        }
        if self.answer.len() >= sampling.max_tokens {
            return Some(FinishReason::MaxTokens);
        }
        (self.ids.len() >= context).then_some(FinishReason::ContextFull)
    }

    /// The answer.
    pub(crate) fn respond(self, finish: FinishReason) -> GenerateResponse {
        let now = Instant::now();
        let admitted = self.admitted.unwrap_or(now);
        let first = self.first.unwrap_or(now);
        GenerateResponse {
            ids: self.answer.iter().map(|token| token.id).collect(),
            finish,
            logprobs: self.answer.iter().map(|token| token.logprob).collect(),
            logprobs_t1: self.answer.iter().map(|token| token.logprob_t1).collect(),
            entropies: self.answer.iter().map(|token| token.entropy).collect(),
            policy: self.variant.policy,
            policy_version: self.variant.version,
            cached_prompt_tokens: self.cached_prompt_tokens.unwrap_or(0),
            timings: Timings { queued: admitted - self.submitted, prefill: first - admitted, decode: now - first },
        }
    }
}
