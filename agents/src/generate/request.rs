//! What is asked of a policy and what it answers, as plain data.
//!
//! These types cross the channel between the engine and the device thread, so they hold ids and numbers and never a
//! tensor. Token ids travel verbatim in both directions: nothing here is ever text that would have to be tokenised again.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::sampling::Sampling;

/// Names one policy (a base with its adapter) on a device.
#[derive(Debug, Clone, Default, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyId(pub u32);

impl std::fmt::Display for PolicyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "policy {}", self.0)
    }
}

/// Names one request on a device; no two are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u64);

/// The key of a request's random numbers: a token depends on this key and its position, and on nothing else that runs.
///
/// `seed` is that of the run; `request` is the path of the call in the run (task → episode → agent → turn → call) hashed to
/// 64 bits by the caller. Two requests with equal keys, prompts, sampling and policy version give equal tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct SeedKey {
    /// Seed of the run.
    pub seed: u64,
    /// Which request of the run this is.
    pub request: u64,
}

/// One prompt to continue.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// Whose turn it is.
    pub policy: PolicyId,
    /// Token ids of the prompt, at least one.
    pub prompt: Vec<u32>,
    /// How tokens are chosen and when to stop.
    pub sampling: Sampling,
    /// Key of the random numbers.
    pub seed: SeedKey,
    /// When the answer is worth nothing any more; it then comes back as [`GenerateError::Deadline`].
    pub deadline: Option<Instant>,
    /// Whether every token is also sent on its own as soon as it is sampled.
    pub stream: bool,
}

/// One sampled token with what the sampler knew about it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SampledToken {
    /// The token id.
    pub id: u32,
    /// Natural logarithm of its probability under the distribution it was drawn from: after penalties, suppression,
    /// temperature and truncation. Zero when decoding greedily.
    pub logprob: f32,
    /// Its log-probability under the model alone: temperature 1, no penalty, nothing suppressed or truncated.
    pub logprob_t1: f32,
    /// Entropy, in nats, of the model's distribution at temperature 1.
    pub entropy: f32,
}

/// Why a continuation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The policy chose this stop id, for instance its end of turn, or the id that ends a constrained answer. It is the last
    /// of the ids.
    StopId(u32),
    /// The text of the ids contains the stop string with this index. The token that completed it is the last of the ids.
    StopString(u32),
    /// [`Sampling::max_tokens`] were sampled.
    MaxTokens,
    /// The model has no position left.
    ContextFull,
}

/// Where the time of a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timings {
    /// From submission to admission to the batch.
    pub queued: Duration,
    /// From admission to the first token.
    pub prefill: Duration,
    /// From the first token to the last.
    pub decode: Duration,
}

/// The answer to a [`GenerateRequest`].
///
/// `ids`, `logprobs`, `logprobs_t1` and `entropies` have the same length. Stop ids are part of the answer: ending is an act
/// of the policy and is trained like any other, also where the tokenizer gives end and padding the same id. An answer of
/// nothing but its stop id is an empty action, and legal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerateResponse {
    /// Sampled token ids, verbatim, with the stop id if there was one.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub finish: FinishReason,
    /// Log-probability of each id under the distribution it was drawn from.
    pub logprobs: Vec<f32>,
    /// Log-probability of each id under the model at temperature 1.
    pub logprobs_t1: Vec<f32>,
    /// Entropy in nats of the model's distribution at temperature 1, before each id.
    pub entropies: Vec<f32>,
    /// Who answered.
    pub policy: PolicyId,
    /// How many updates that policy had seen: the same for every token of an answer.
    pub policy_version: u64,
    /// How many tokens of the prompt came out of the prefix cache.
    pub cached_prompt_tokens: usize,
    /// Where the time went.
    pub timings: Timings,
}

/// News of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum GenerateEvent {
    /// A token of a request that streams.
    Token(SampledToken),
    /// The end of the request; nothing follows.
    Done(Result<GenerateResponse, GenerateError>),
}

/// Why a request gave no answer. Each concerns this request only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The prompt holds no token.
    #[error("the prompt holds no token; a chat template always renders some")]
    EmptyPrompt,
    /// The policy is not on this device.
    #[error("{0} is not loaded on this device")]
    UnknownPolicy(PolicyId),
    /// A token id lies outside the vocabulary.
    #[error("token id {id} lies outside the vocabulary of {vocabulary} tokens")]
    TokenOutOfRange {
        /// The offending id.
        id: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// The prompt leaves no position to generate at.
    #[error("the prompt of {tokens} tokens leaves no room in the context of {limit}")]
    PromptTooLong {
        /// Tokens in the prompt.
        tokens: usize,
        /// Positions the model has.
        limit: usize,
    },
    /// A sampling parameter is out of its range.
    #[error("sampling parameter `{parameter}` is {value}, but must be {expected}")]
    InvalidSampling {
        /// Name of the parameter.
        parameter: &'static str,
        /// The value given.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The answer cannot be held to the form that was asked for, or not any further.
    #[error("the answer cannot be constrained: {reason}")]
    Constraint {
        /// Why.
        reason: String,
    },
    /// Every token is suppressed.
    #[error("every token of the vocabulary is suppressed")]
    NothingToSample,
    /// The request alone needs more cache than there is.
    #[error("the request needs {needed} blocks of the key-value cache, which has {budget}; raise its memory budget")]
    CacheTooSmall {
        /// Blocks needed at the end of the request.
        needed: usize,
        /// Blocks there are.
        budget: usize,
    },
    /// The model's output was not a number: the weights have diverged.
    #[error("the logits of {policy} (version {version}) at token {position} are not finite")]
    NonFinite {
        /// The policy.
        policy: PolicyId,
        /// Its version.
        version: u64,
        /// Position of the token in prompt and answer together.
        position: usize,
    },
    /// The caller withdrew the request.
    #[error("the request was cancelled")]
    Cancelled,
    /// The deadline passed.
    #[error("the deadline passed after {generated} tokens")]
    Deadline {
        /// Tokens sampled by then.
        generated: usize,
    },
    /// Too many requests wait.
    #[error("the device's queue of {capacity} requests is full")]
    Busy {
        /// Capacity of the queue.
        capacity: usize,
    },
    /// An operation on the device failed or panicked.
    #[error("the device failed while serving the request: {0}")]
    Device(String),
    /// The device thread has ended.
    #[error("the device thread has shut down")]
    Shutdown,
}
