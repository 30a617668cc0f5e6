//! A scripted policy: a fake model over a small vocabulary whose probabilities are known exactly, for tests of everything
//! that surrounds a model.

use std::time::{Duration, Instant};

use crate::generate::{FinishReason, GenerateError, GenerateRequest, GenerateResponse, Sampling, Timings};

/// Gives the logits of the next token for a context.
type Logits = dyn Fn(&[u32]) -> Vec<f64> + Send + Sync;

/// A model that is a function.
///
/// ```
/// use marft_agents::generate::{GenerateRequest, PolicyId, Sampling, SeedKey};
/// use marft_agents::policy::scripted::Scripted;
///
/// // after token 0 comes 1 with three times the chance of 2; everything else ends the answer
/// let model = Scripted::new(3, |context| match context.last() {
///     Some(0) => vec![f64::NEG_INFINITY, 3_f64.ln(), 0.0],
///     _ => vec![0.0, f64::NEG_INFINITY, f64::NEG_INFINITY],
/// });
/// let sampling = Sampling { stop_ids: vec![0], max_tokens: 4, ..Sampling::default() };
/// let request = GenerateRequest {
///     policy: PolicyId(0), prompt: vec![0], sampling, seed: SeedKey::default(), deadline: None, stream: false,
/// };
/// let answer = model.answer(&request)?;
/// assert_eq!(answer.ids.last(), Some(&0));
/// let first = if answer.ids[0] == 1 { 0.75_f32 } else { 0.25 };
/// assert!((answer.logprobs[0] - first.ln()).abs() < 1e-6);
/// # Ok::<(), marft_agents::generate::GenerateError>(())
/// ```
pub struct Scripted {
    vocabulary: usize,
    logits: Box<Logits>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripted").field("vocabulary", &self.vocabulary).finish_non_exhaustive()
    }
}

impl Scripted {
    /// A model over `vocabulary` tokens; `logits` gives one number per token for a context, prompt and answer so far.
    pub fn new(vocabulary: usize, logits: impl Fn(&[u32]) -> Vec<f64> + Send + Sync + 'static) -> Self {
        Self { vocabulary, logits: Box::new(logits) }
    }

    /// A model whose next token depends on the last one alone: row `i` holds the logits after token `i`.
    pub fn table(rows: Vec<Vec<f64>>) -> Self {
        let vocabulary = rows.len();
        Self::new(vocabulary, move |context| {
            let last = context.last().map_or(0, |id| *id as usize);
            rows.get(last).cloned().unwrap_or_default()
        })
    }

    /// Continues a prompt. Depends on the request alone; honours temperature, suppressed ids, stop ids, the token limit and
    /// the deadline.
    ///
    /// # Errors
    /// An empty prompt, an id outside the vocabulary, parameters out of range, those that a script does nothing with (top-k,
    /// top-p, min-p, penalties, stop strings), a constraint, logits that leave nothing to sample, a deadline that passes.
    pub fn answer(&self, request: &GenerateRequest) -> Result<GenerateResponse, GenerateError> {
        if request.prompt.is_empty() {
            return Err(GenerateError::EmptyPrompt);
        }
        if let Some(id) = request.prompt.iter().find(|id| **id as usize >= self.vocabulary) {
            return Err(GenerateError::TokenOutOfRange { id: *id, vocabulary: self.vocabulary });
        }
        request.sampling.check(self.vocabulary)?;
        only_known(&request.sampling)?;
        if request.sampling.constraint.is_some() {
            let reason = "the tokens of a script stand for no text".to_owned();
            return Err(GenerateError::Constraint { reason });
        }
        let mut context = request.prompt.clone();
        let mut answer = GenerateResponse {
            ids: vec![],
            finish: FinishReason::MaxTokens,
            logprobs: vec![],
            logprobs_t1: vec![],
            entropies: vec![],
            policy: request.policy,
            policy_version: 0,
            cached_prompt_tokens: 0,
            timings: Timings { queued: Duration::ZERO, prefill: Duration::ZERO, decode: Duration::ZERO },
        };
        for position in 0..request.sampling.max_tokens {
            if request.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(GenerateError::Deadline { generated: position });
            }
            let logits = (self.logits)(&context);
            if logits.len() != self.vocabulary {
                let found = logits.len();
                let reason = format!("the script gave {found} logits for a vocabulary of {}", self.vocabulary);
                return Err(GenerateError::Device(reason));
            }
            let plain = log_softmax(&logits).ok_or(GenerateError::NothingToSample)?;
            let mut altered = logits;
            for id in &request.sampling.suppressed {
                if let Some(logit) = altered.get_mut(*id as usize) {
                    *logit = f64::NEG_INFINITY;
                }
            }
            let (id, logprob) = choose(&altered, f64::from(request.sampling.temperature), request, position)?;
            answer.ids.push(id);
            answer.logprobs.push(logprob as f32);
            answer.logprobs_t1.push(plain[id as usize] as f32);
            let entropy: f64 = plain.iter().filter(|p| p.is_finite()).map(|p| -p * p.exp()).sum();
            answer.entropies.push(entropy as f32);
            context.push(id);
            if request.sampling.stop_ids.contains(&id) {
                answer.finish = FinishReason::StopId(id);
                break;
            }
        }
        Ok(answer)
    }
}

/// Refuses what would change the distribution or the end of an answer, and does not here.
fn only_known(sampling: &Sampling) -> Result<(), GenerateError> {
    let off = Sampling::default();
    let rules = [
        ("top_k", sampling.top_k.to_string(), sampling.top_k == off.top_k, "0 where a script speaks"),
        ("top_p", sampling.top_p.to_string(), sampling.top_p >= off.top_p, "1 where a script speaks"),
        ("min_p", sampling.min_p.to_string(), sampling.min_p <= off.min_p, "0 where a script speaks"),
        (
            "repetition_penalty",
            sampling.repetition_penalty.to_string(),
            sampling.repetition_penalty - off.repetition_penalty == 0.0,
            "1 where a script speaks",
        ),
        (
            "presence_penalty",
            sampling.presence_penalty.to_string(),
            sampling.presence_penalty == 0.0,
            "0 where a script speaks",
        ),
        ("stop", format!("{:?}", sampling.stop), sampling.stop.is_empty(), "empty where a script speaks"),
    ];
    match rules.into_iter().find(|(.., holds, _)| !holds) {
        Some((parameter, value, _, expected)) => Err(GenerateError::InvalidSampling { parameter, value, expected }),
        None => Ok(()),
    }
}

/// A token and the log-probability it was drawn with.
fn choose(
    logits: &[f64],
    temperature: f64,
    request: &GenerateRequest,
    position: usize,
) -> Result<(u32, f64), GenerateError> {
    if temperature == 0.0 {
        let mut best = None;
        for (id, logit) in logits.iter().enumerate().filter(|(_, logit)| **logit > f64::NEG_INFINITY) {
            if best.is_none_or(|(_, most)| *logit > most) {
                best = Some((id, *logit));
            }
        }
        return best.map(|(id, _)| (id as u32, 0.0)).ok_or(GenerateError::NothingToSample);
    }
    let scaled: Vec<f64> = logits.iter().map(|logit| logit / temperature).collect();
    let logprobs = log_softmax(&scaled).ok_or(GenerateError::NothingToSample)?;
    let point = uniform(request.seed.seed, request.seed.request, position as u64);
    let mut sum = 0.0;
    let mut last = 0;
    for (id, logprob) in logprobs.iter().enumerate().filter(|(_, logprob)| logprob.is_finite()) {
        sum += logprob.exp();
        last = id;
        if point < sum {
            break;
        }
    }
    Ok((last as u32, logprobs[last]))
}

/// `None` where no logit is above minus infinity, or one is no number.
fn log_softmax(logits: &[f64]) -> Option<Vec<f64>> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !most.is_finite() || logits.iter().any(|logit| logit.is_nan()) {
        return None;
    }
    let sum: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
    Some(logits.iter().map(|logit| logit - most - sum.ln()).collect())
}

/// A number in [0, 1) that depends on its key alone.
fn uniform(seed: u64, request: u64, position: u64) -> f64 {
    let mut z = seed ^ request.rotate_left(17) ^ position.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for _ in 0..2 {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
    }
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{PolicyId, Sampling, SeedKey};

    fn request(sampling: Sampling, number: u64) -> GenerateRequest {
        let seed = SeedKey { seed: 1, request: number };
        GenerateRequest { policy: PolicyId(2), prompt: vec![0], sampling, seed, deadline: None, stream: false }
    }

    fn coin() -> Scripted {
        Scripted::table(vec![vec![0.0, 1.0, f64::NEG_INFINITY]; 3])
    }

    #[test]
    fn frequencies_follow_the_logits_and_logprobs_are_exact() {
        let sampling = Sampling { max_tokens: 1, temperature: 2.0, ..Sampling::default() };
        let mut ones = 0;
        for number in 0..4000 {
            let answer = coin().answer(&request(sampling.clone(), number)).unwrap();
            let expected = if answer.ids[0] == 1 { 0.5_f64.exp() } else { 1.0 } / (1.0 + 0.5_f64.exp());
            assert!((f64::from(answer.logprobs[0]) - expected.ln()).abs() < 1e-6);
            ones += u32::from(answer.ids[0] == 1);
        }
        // p = .6225, standard deviation of the count 30.7
        assert!((2490 - 124..2490 + 124).contains(&ones), "{ones}");
    }

    #[test]
    fn greedy_suppressed_and_stopped() {
        let greedy = Sampling { temperature: 0.0, max_tokens: 3, ..Sampling::default() };
        assert_eq!(coin().answer(&request(greedy.clone(), 0)).unwrap().ids, [1, 1, 1]);
        let suppressed = Sampling { suppressed: vec![1], ..greedy.clone() };
        assert_eq!(coin().answer(&request(suppressed, 0)).unwrap().ids, [0, 0, 0]);
        let stopped = Sampling { stop_ids: vec![1], ..greedy };
        let answer = coin().answer(&request(stopped, 0)).unwrap();
        assert_eq!((answer.ids, answer.finish), (vec![1], FinishReason::StopId(1)));
    }

    #[test]
    fn a_request_gives_the_same_answer_every_time() {
        let sampling = Sampling { max_tokens: 20, ..Sampling::default() };
        let answer = |number| coin().answer(&request(sampling.clone(), number)).unwrap().ids;
        assert_eq!(answer(5), answer(5));
        assert_ne!(answer(5), answer(6));
    }

    #[test]
    fn what_a_script_does_not_do_is_refused_by_name() {
        let off = Sampling::default;
        for (name, sampling) in [
            ("top_k", Sampling { top_k: 2, ..off() }),
            ("top_p", Sampling { top_p: 0.9, ..off() }),
            ("min_p", Sampling { min_p: 0.1, ..off() }),
            ("repetition_penalty", Sampling { repetition_penalty: 1.1, ..off() }),
            ("presence_penalty", Sampling { presence_penalty: -0.5, ..off() }),
            ("stop", Sampling { stop: vec!["end".to_owned()], ..off() }),
        ] {
            let error = coin().answer(&request(sampling, 0)).unwrap_err();
            assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
        }
        let mut late = request(off(), 0);
        late.deadline = Some(Instant::now());
        assert_eq!(coin().answer(&late), Err(GenerateError::Deadline { generated: 0 }));
    }

    #[test]
    fn bad_scripts_and_prompts_are_errors() {
        let nothing = Scripted::new(2, |_| vec![f64::NEG_INFINITY; 2]);
        assert_eq!(nothing.answer(&request(Sampling::default(), 0)), Err(GenerateError::NothingToSample));
        let short = Scripted::new(2, |_| vec![0.0]);
        assert!(matches!(short.answer(&request(Sampling::default(), 0)), Err(GenerateError::Device(_))));
        let mut outside = request(Sampling::default(), 0);
        outside.prompt = vec![9];
        assert!(matches!(coin().answer(&outside), Err(GenerateError::TokenOutOfRange { id: 9, .. })));
    }
}
