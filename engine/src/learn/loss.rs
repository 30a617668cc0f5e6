//! The loss of one pass: for every policy in it, the algorithm's loss over that policy's own tokens, and the critic's.
//!
//! A pass is a part of a mini-batch. Means are taken over the whole mini-batch, so that how it was cut does not matter.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use marft_agents::generate::PolicyId;
use marft_agents::train::{LossFn, TrainOutputs};
use marft_algorithms::action_logprob::{ActionLogprob, action_logprob};
use marft_algorithms::kl::kl_in_loss;
use marft_algorithms::loss::{PolicyBatch, PolicyDiagnostics, Totals, entropy_bonus};
use marft_algorithms::preset::{ActionNorm, Algorithm, Level};
use marft_algorithms::value::{ValueBatch, ValueDiagnostics, value_loss};
use tch::{Kind, Tensor};

use super::estimate::Estimated;
use super::gather::Gathered;

/// What one policy has in a pass. Columns have one entry per element.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub(super) policy: PolicyId,
    /// Its tokens among those the pass scores.
    tokens: Range<usize>,
    /// Tokens of each turn.
    token_lengths: Vec<usize>,
    token_in_loss: Vec<bool>,
    /// Words of each turn.
    words: Vec<usize>,
    /// What the sampler said of each token, to be compared with the trainer.
    sampled: Vec<f32>,
    /// Elements of each turn.
    lengths: Vec<usize>,
    in_loss: Vec<bool>,
    logp_old: Vec<f32>,
    logp_behave: Option<Vec<f32>>,
    logp_ref: Option<Vec<f32>>,
    weight: Option<Vec<f32>>,
    pub(super) advantage: Vec<f32>,
    critic: Option<(Vec<f32>, Vec<f32>)>,
    /// Counts of the policy's elements that its mean is taken over: those of the mini-batch.
    pub(super) totals: Totals,
    /// What that mean counts for: 1, where it is taken over the whole mini-batch.
    pub(super) share: f64,
}

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct PartReport {
    pub(super) policy: PolicyId,
    pub(super) loss: f64,
    pub(super) diagnostics: PolicyDiagnostics,
    /// Sum over the part's tokens in the loss of the entropy, nats.
    pub(super) entropy_sum: f64,
    /// Tokens behind the sums.
    pub(super) tokens: usize,
    /// Divergence from the reference, nats per element, with the elements as weight; `None` where the loss does not ask.
    pub(super) kl_ref: Option<f64>,
    /// Sum and greatest of the differences between sampler and trainer, nats.
    pub(super) gap_sum: f64,
    pub(super) gap_max: f64,
    pub(super) value: Option<(f64, ValueDiagnostics)>,
}

/// How a pass is judged.
#[derive(Debug, Clone)]
pub(super) struct Judgement {
    pub(super) algorithm: Arc<Algorithm>,
    pub(super) parts: Vec<Part>,
    /// Counts of the elements that the critic's mean is taken over, all those of the mini-batch, and what it counts for.
    pub(super) value_totals: Totals,
    pub(super) value_share: f64,
    /// The policies that learn, beside the critic.
    pub(super) learners: Vec<PolicyId>,
    pub(super) reports: Sender<PartReport>,
}

/// Cuts the columns of `rows`, side by side by policy, out of the batch. `factor` is a further weight per turn.
pub(super) fn parts(gathered: &Gathered, estimated: &Estimated, rows: &[usize], factor: Option<&[f32]>) -> Vec<Part> {
    let mut parts: Vec<Part> = vec![];
    let mut token = 0;
    for row in rows.iter().map(|row| &gathered.rows[*row]) {
        let policy = row.sequence.policy;
        if parts.last().is_none_or(|part| part.policy != policy) {
            let some = |column: &Option<Vec<f32>>| column.as_ref().map(|_| vec![]);
            parts.push(Part {
                policy,
                tokens: token..token,
                logp_behave: some(&estimated.logp_behave),
                logp_ref: some(&estimated.logp_ref),
                weight: (estimated.weight.is_some() || factor.is_some()).then(Vec::new),
                critic: estimated.critic.as_ref().map(|_| (vec![], vec![])),
                share: 1.0,
                ..Part::default()
            });
        }
        let Some(part) = parts.last_mut() else { continue };
        for turn in row.turns.iter().filter(|turn| !gathered.turns[**turn].positions.is_empty()) {
            part.push(gathered, estimated, *turn, factor);
        }
        token += row.sequence.scored.len();
        part.tokens.end = token;
    }
    parts
}

impl Part {
    fn push(&mut self, gathered: &Gathered, estimated: &Estimated, turn: usize, factor: Option<&[f32]>) {
        let spoken = &gathered.turns[turn];
        let elements = estimated.elements[turn].clone();
        self.token_lengths.push(spoken.positions.len());
        self.token_in_loss.extend(std::iter::repeat_n(spoken.in_loss, spoken.positions.len()));
        self.words.push(spoken.words);
        self.sampled.extend(&spoken.logprobs);
        self.lengths.push(elements.len());
        self.in_loss.extend(&estimated.in_loss[elements.clone()]);
        self.logp_old.extend(&estimated.logp_old[elements.clone()]);
        self.advantage.extend(&estimated.advantage[elements.clone()]);
        let copy = |to: &mut Option<Vec<f32>>, from: &Option<Vec<f32>>| {
            if let (Some(to), Some(from)) = (to, from) {
                to.extend(&from[elements.clone()]);
            }
        };
        copy(&mut self.logp_behave, &estimated.logp_behave);
        copy(&mut self.logp_ref, &estimated.logp_ref);
        if let Some(weight) = &mut self.weight {
            let factor = factor.map_or(1.0, |factor| factor[turn]);
            let own = |at: usize| estimated.weight.as_ref().map_or(1.0, |weight| weight[at]);
            weight.extend(elements.clone().map(|at| own(at) * factor));
        }
        if let (Some((old, target)), Some((values, returns))) = (&mut self.critic, &estimated.critic) {
            old.extend(&values[elements.clone()]);
            target.extend(&returns[elements]);
        }
    }

    /// How its tokens' log-probabilities become those of its turns.
    fn mode(&self, algorithm: &Algorithm) -> ActionLogprob<'_> {
        match algorithm.action_logprob {
            ActionNorm::Sum => ActionLogprob::Sum,
            ActionNorm::Token => ActionLogprob::TokenMean,
            ActionNorm::Word => ActionLogprob::WordMean(&self.words),
        }
    }

    /// Counts of its own elements.
    pub(super) fn count(&self) -> Totals {
        Totals::count(&self.in_loss, &self.lengths)
    }
}

/// The loss of a pass over what `judgement` holds.
pub(super) fn loss_of(judgement: Judgement) -> LossFn {
    Box::new(move |outputs| {
        let mut total = Tensor::from(0.0_f32).to_device(outputs.logprobs.device());
        for part in &judgement.parts {
            let (loss, report) = judge(part, &judgement, outputs)?;
            total += loss;
            // whoever waits for the report may have gone
            let _ = judgement.reports.send(report);
        }
        Ok(total)
    })
}

type Judged = Result<(Tensor, PartReport), Box<dyn std::error::Error + Send + Sync>>;

fn judge(part: &Part, judgement: &Judgement, outputs: &TrainOutputs) -> Judged {
    let algorithm = &judgement.algorithm;
    let cut = |column: &Tensor| column.narrow(0, part.tokens.start as i64, part.tokens.len() as i64);
    let tokens = cut(&outputs.logprobs);
    let entropies = cut(&outputs.entropies);
    let mut report = PartReport { policy: part.policy, ..compare(part, &tokens, &entropies)? };
    let mut total = Tensor::from(0.0_f32).to_device(tokens.device());
    if judgement.learners.contains(&part.policy) {
        let by_action = |column: &Tensor, mode| action_logprob(column, &part.token_in_loss, &part.token_lengths, mode);
        let (logp, entropy) = match algorithm.level {
            Level::Token => (tokens.shallow_clone(), entropies.shallow_clone()),
            Level::Action => {
                (by_action(&tokens, part.mode(algorithm))?, by_action(&entropies, ActionLogprob::TokenMean)?)
            }
        };
        let mut batch = PolicyBatch::new(&part.logp_old, &part.advantage, &part.in_loss, &part.lengths);
        batch.weight = part.weight.as_deref();
        batch.logp_ref = part.logp_ref.as_deref();
        let policy = algorithm.policy_loss(&logp, &batch.within(part.totals), part.logp_behave.as_deref())?;
        report.diagnostics = policy.diagnostics;
        report.loss = policy.value * part.share;
        total += policy.loss * part.share;
        if let (Some(kl), Some(reference)) = (algorithm.kl_in_loss(), &part.logp_ref) {
            let term = kl_in_loss(&logp, reference, &part.in_loss, &part.lengths, Some(part.totals), &kl)?;
            (report.kl_ref, report.loss) = (Some(term.mean), report.loss + term.value * part.share);
            total += term.loss * part.share;
        }
        if let Some(bonus) = algorithm.entropy_bonus() {
            let term = entropy_bonus::<f32>(&entropy, &part.in_loss, &part.lengths, Some(part.totals), &bonus)?;
            report.loss += term.value * part.share;
            total += term.loss * part.share;
        }
    }
    if let (Some(config), Some((old, target)), Some(values)) = (algorithm.value_loss(), &part.critic, &outputs.values) {
        let values = match algorithm.level {
            Level::Token => cut(values),
            Level::Action => cut(values).index_select(0, &starts(part).to_device(values.device())),
        };
        let mut batch = ValueBatch::new(old, target, &part.in_loss, &part.lengths);
        batch.totals = Some(judgement.value_totals);
        let value = value_loss(&values, &batch, &config)?;
        report.value = Some((value.value * judgement.value_share, value.diagnostics));
        total += value.loss * judgement.value_share;
    }
    Ok((total, report))
}

/// Where each turn's first token stands.
fn starts(part: &Part) -> Tensor {
    let starts: Vec<i64> = part
        .token_lengths
        .iter()
        .scan(0_i64, |at, length| {
            let start = *at;
            *at += *length as i64;
            Some(start)
        })
        .collect();
    Tensor::from_slice(&starts)
}

/// How far the trainer is from the sampler, and the entropy, over the tokens in the loss.
fn compare(part: &Part, tokens: &Tensor, entropies: &Tensor) -> Result<PartReport, tch::TchError> {
    let numbers = |column: &Tensor| -> Result<Vec<f32>, tch::TchError> {
        Vec::try_from(column.detach().to_kind(Kind::Float).to_device(tch::Device::Cpu))
    };
    let (now, entropy) = (numbers(tokens)?, numbers(entropies)?);
    let mut report = PartReport::default();
    for at in (0..now.len()).filter(|at| part.token_in_loss[*at]) {
        let gap = f64::from((now[at] - part.sampled[at]).abs());
        report.tokens += 1;
        report.entropy_sum += f64::from(entropy[at]);
        report.gap_sum += gap;
        report.gap_max = report.gap_max.max(gap);
    }
    Ok(report)
}
