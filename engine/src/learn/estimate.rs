//! Advantages: rewards, values and log-probabilities to one chain, and the estimator on it.

use std::collections::BTreeMap;

use marft_agents::device::DeviceHandle;
use marft_agents::train::{PassOptions, PolicyTable};
use marft_algorithms::advantage::rae::Rae;
use marft_algorithms::kl::kl_in_reward;
use marft_algorithms::loss::tis;
use marft_algorithms::preset::{ActionNorm, Algorithm, Compat, Level, LossKind, Rollouts};
use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord as ChainEpisode, TurnRecord as ChainTurn};

use super::credit::{Credits, needs_replays, pay};
use super::gather::Gathered;
use super::rescore::{Rescored, rescore};
use super::{Cohort, LearnError};
use crate::episode::EpisodeRecord;

/// A batch that is ready to be learnt from. Columns have one entry per element: per token, or per turn at the action level.
#[derive(Debug, Clone, Default)]
pub(super) struct Estimated {
    /// Where each turn's elements are.
    pub(super) elements: Vec<std::ops::Range<usize>>,
    pub(super) in_loss: Vec<bool>,
    /// What the summed log-probability of each turn is divided by, where it is one action.
    pub(super) divisors: Vec<f32>,
    /// Log-probability under the policy that ratios are taken against, nats.
    pub(super) logp_old: Vec<f32>,
    /// Log-probability under the sampler, where ratios are taken against another policy.
    pub(super) logp_behave: Option<Vec<f32>>,
    pub(super) logp_ref: Option<Vec<f32>>,
    /// Importance weights of trainer against sampler.
    pub(super) weight: Option<Vec<f32>>,
    pub(super) advantage: Vec<f32>,
    /// Old values and targets of the critic.
    pub(super) critic: Option<(Vec<f32>, Vec<f32>)>,
    /// What every agent was paid in an episode, on average, by label.
    pub(super) paid: BTreeMap<String, f64>,
    /// Share of groups whose members all earned the same.
    pub(super) uniform_groups: Option<f64>,
    /// Mean divergence that the reward paid for, nats per token.
    pub(super) kl_in_reward: Option<f64>,
}

/// What the estimate needs beside the episodes.
#[derive(Debug)]
pub(super) struct Means<'a> {
    pub(super) handle: &'a DeviceHandle<PolicyTable>,
    pub(super) pass: PassOptions,
    pub(super) recompute: bool,
    pub(super) baselines: Option<&'a mut Rae>,
    pub(super) credits: &'a Credits,
}

pub(super) fn estimate(
    records: &[EpisodeRecord],
    cohort: &Cohort,
    gathered: &Gathered,
    means: Means<'_>,
) -> Result<Estimated, LearnError> {
    let algorithm = &cohort.algorithm;
    let truncated: Vec<bool> =
        gathered.episodes.iter().map(|(record, _)| records[*record].end == "truncated").collect();
    let scores = rescore(means.handle, cohort, gathered, &truncated, means.recompute, means.pass)?;
    let sampled: Vec<&[f32]> = gathered.turns.iter().map(|turn| turn.logprobs.as_slice()).collect();
    let trainer: Option<Vec<&[f32]>> = scores.logprobs.as_ref().map(|turns| turns.iter().map(Vec::as_slice).collect());
    let old = trainer.as_ref().unwrap_or(&sampled);

    let mut paid = payments(records, cohort, gathered, means.credits)?;
    // the first release takes what is cut off for an end
    let cut_off = if algorithm.compat == Compat::MarftV1 { vec![false; truncated.len()] } else { truncated };
    let mut tokens = chain(gathered, old, &cut_off, &scores, &paid)?;
    if let Some(values) = &scores.values {
        tokens.set_values(spread(&tokens, values))?;
    }
    let mut reward = tokens.reward().to_vec();
    for (turn, token, amount) in of_tokens(records, cohort, gathered) {
        reward[tokens.turns()[turn].range.start + token] += amount as f32;
        paid[turn] += amount;
    }
    let reference = scores.reference.as_ref().map(|turns| spread(&tokens, turns));
    let mut paid_kl = None;
    if algorithm.kl_reward_coef != 0.0
        && let Some(reference) = &reference
    {
        let (logp, in_loss) = (tokens.logp().to_vec(), tokens.in_loss().to_vec());
        let penalised =
            kl_in_reward(&reward, &logp, reference, &in_loss, algorithm.kl_reward_coef, algorithm.kl_reward_type)?;
        (reward, paid_kl) = (penalised.reward, Some(penalised.mean_kl));
    }
    tokens.set_rewards(reward)?;

    let weight = match (algorithm.sampler_correction(), &trainer) {
        (Some(config), Some(_)) => {
            let behave = spread(&tokens, &owned(&sampled));
            Some(tis(tokens.logp(), &behave, tokens.in_loss(), &tokens.lengths(), &config)?.weight)
        }
        _ => None,
    };
    let behave = (algorithm.loss == LossKind::Decoupled).then(|| spread(&tokens, &owned(&sampled)));

    let chain = algorithm.elements(tokens.clone());
    let anchors: Vec<u64> = gathered.turns.iter().map(|turn| turn.anchor).collect();
    let wants_anchors = algorithm.estimator == marft_algorithms::preset::Estimator::Gigpo;
    let estimate = algorithm.estimate(&chain, wants_anchors.then_some(anchors.as_slice()), means.baselines)?;
    let (earned, hesitation) = rollouts(records, gathered, scores.entropies.as_deref());
    let advantage =
        algorithm.rescaled(&chain, estimate.advantage, Rollouts { reward: &earned, entropy: &hesitation })?;
    let divisors = divisors(algorithm, gathered, &tokens);
    let fold = |numbers: Vec<f32>, mean: bool| match algorithm.level {
        Level::Token => numbers,
        Level::Action => by_action(&tokens, &numbers, mean),
    };
    let scaled = |numbers: Vec<f32>| match algorithm.level {
        Level::Token => numbers,
        Level::Action => numbers.iter().zip(&divisors).map(|(sum, by)| sum / by).collect(),
    };
    Ok(Estimated {
        elements: chain.turns().iter().map(|turn| turn.range.clone()).collect(),
        in_loss: chain.in_loss().to_vec(),
        logp_old: scaled(chain.logp().to_vec()),
        logp_behave: behave.map(|numbers| scaled(fold(numbers, false))),
        logp_ref: reference.map(|numbers| scaled(fold(numbers, false))),
        weight: weight.map(|numbers| fold(numbers, true)),
        divisors,
        advantage,
        critic: estimate.returns.map(|returns| (chain.value().to_vec(), returns)),
        paid: by_agent(cohort, gathered, &paid),
        uniform_groups: estimate.uniform_groups,
        kl_in_reward: paid_kl,
    })
}

/// What each episode earned by the rules of the task alone, and the mean entropy of what was sampled in it; nats.
fn rollouts(records: &[EpisodeRecord], gathered: &Gathered, entropies: Option<&[Vec<f32>]>) -> (Vec<f64>, Vec<f64>) {
    let earned = |record: usize| records[record].reward.as_ref().map_or(0.0, |reward| reward.total);
    let hesitation = |turns: &std::ops::Range<usize>| {
        let of = |at: usize| entropies.map_or(&[][..], |turns| turns[at].as_slice());
        let count = turns.clone().map(|at| of(at).len()).sum::<usize>().max(1);
        turns.clone().flat_map(of).map(|entropy| f64::from(*entropy)).sum::<f64>() / count as f64
    };
    gathered.episodes.iter().map(|(record, turns)| (earned(*record), hesitation(turns))).unzip()
}

/// What the log-probability of each turn, summed over its tokens, is divided by.
fn divisors(algorithm: &Algorithm, gathered: &Gathered, tokens: &Chain<f32>) -> Vec<f32> {
    let norm = if algorithm.level == Level::Action { algorithm.action_logprob } else { ActionNorm::Sum };
    let kept = |turn: std::ops::Range<usize>| turn.filter(|at| tokens.in_loss()[*at]).count();
    let divisor = |at: usize| match norm {
        ActionNorm::Sum => 1,
        ActionNorm::Token => kept(tokens.turns()[at].range.clone()).max(1),
        ActionNorm::Word => gathered.turns[at].words.max(1),
    };
    (0..gathered.turns.len()).map(|at| divisor(at) as f32).collect()
}

/// What each turn is paid.
fn payments(
    records: &[EpisodeRecord],
    cohort: &Cohort,
    gathered: &Gathered,
    credits: &Credits,
) -> Result<Vec<f64>, LearnError> {
    let mut paid = Vec::with_capacity(gathered.turns.len());
    for (record, turns) in &gathered.episodes {
        paid.extend(pay(&records[*record], &gathered.turns[turns.clone()], cohort, credits)?);
    }
    Ok(paid)
}

/// What each agent is paid in an episode, on average.
fn by_agent(cohort: &Cohort, gathered: &Gathered, paid: &[f64]) -> BTreeMap<String, f64> {
    let episodes = gathered.episodes.len().max(1) as f64;
    let mut sums = vec![0.0; cohort.players.len()];
    gathered.turns.iter().zip(paid).for_each(|(turn, paid)| sums[turn.ids.agent as usize] += paid / episodes);
    cohort.players.iter().zip(sums).map(|(player, sum)| (player.label.clone(), sum)).collect()
}

/// The token chain with the rewards of turns on it.
fn chain(
    gathered: &Gathered,
    logprobs: &[&[f32]],
    truncated: &[bool],
    scores: &Rescored,
    paid: &[f64],
) -> Result<Chain<f32>, LearnError> {
    let mut episodes = Vec::with_capacity(gathered.episodes.len());
    for (episode, (_, turns)) in gathered.episodes.iter().enumerate() {
        let turns = turns.clone().map(|at| {
            let spoken = &gathered.turns[at];
            ChainTurn {
                ids: spoken.ids,
                logp: logprobs[at].to_vec(),
                in_loss: vec![spoken.in_loss; logprobs[at].len()],
                reward: paid[at] as f32,
            }
        });
        let close =
            if truncated[episode] { Close::Truncated { bootstrap: scores.bootstraps[episode] } } else { Close::End };
        episodes.push(ChainEpisode { turns: turns.collect(), close });
    }
    Ok(Chain::from_episodes(episodes)?)
}

/// What single tokens earned: the turn, the token in it, and how much. Rules that need replays have paid it with all else.
fn of_tokens(records: &[EpisodeRecord], cohort: &Cohort, gathered: &Gathered) -> Vec<(usize, usize, f64)> {
    let mut earned = vec![];
    if needs_replays(cohort.algorithm.credit) {
        return earned;
    }
    for (record, turns) in &gathered.episodes {
        let streams = records[*record].reward.iter().flat_map(|streams| &streams.token);
        for (segment, position, amount) in streams {
            for at in turns.clone().filter(|at| gathered.turns[*at].segment == *segment) {
                let token = gathered.turns[at].positions.iter().position(|own| *own as usize == *position);
                earned.extend(token.map(|token| (at, token, *amount)));
            }
        }
    }
    earned
}

/// Numbers per turn to numbers per element; a turn without tokens has one element, which is 0.
fn spread(chain: &Chain<f32>, turns: &[Vec<f32>]) -> Vec<f32> {
    let mut all = vec![0.0; chain.len()];
    for (turn, numbers) in chain.turns().iter().zip(turns) {
        for (at, number) in turn.range.clone().zip(numbers) {
            all[at] = *number;
        }
    }
    all
}

/// Sums (or means) over the tokens in the loss of each turn.
fn by_action(tokens: &Chain<f32>, numbers: &[f32], mean: bool) -> Vec<f32> {
    let fold = |range: std::ops::Range<usize>| {
        let kept: Vec<f32> = range.filter(|at| tokens.in_loss()[*at]).map(|at| numbers[at]).collect();
        let sum: f32 = kept.iter().sum();
        if mean && !kept.is_empty() { sum / kept.len() as f32 } else { sum }
    };
    tokens.turns().iter().map(|turn| fold(turn.range.clone())).collect()
}

fn owned(turns: &[&[f32]]) -> Vec<Vec<f32>> {
    turns.iter().map(|turn| turn.to_vec()).collect()
}
