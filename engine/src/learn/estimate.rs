//! Advantages: rewards, values and log-probabilities to one chain, and the estimator on it.

use std::collections::BTreeMap;

use marft_agents::device::DeviceHandle;
use marft_agents::train::{PassOptions, PolicyTable};
use marft_algorithms::advantage::rae::Rae;
use marft_algorithms::kl::kl_in_reward;
use marft_algorithms::loss::tis;
use marft_algorithms::preset::{Level, LossKind};
use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord as ChainEpisode, TurnRecord as ChainTurn};

use super::credit::{Credits, pay};
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

    let paid = payments(records, cohort, gathered, means.credits)?;
    let mut tokens = chain(gathered, old, &truncated, &scores, &paid)?;
    if let Some(values) = &scores.values {
        tokens.set_values(spread(&tokens, values))?;
    }
    let mut reward = add_token_rewards(records, gathered, &tokens);
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
    let fold = |numbers: Vec<f32>, mean: bool| match algorithm.level {
        Level::Token => numbers,
        Level::Action => by_action(&tokens, &numbers, mean),
    };
    Ok(Estimated {
        elements: chain.turns().iter().map(|turn| turn.range.clone()).collect(),
        in_loss: chain.in_loss().to_vec(),
        logp_old: chain.logp().to_vec(),
        logp_behave: behave.map(|numbers| fold(numbers, false)),
        logp_ref: reference.map(|numbers| fold(numbers, false)),
        weight: weight.map(|numbers| fold(numbers, true)),
        advantage: estimate.advantage,
        critic: estimate.returns.map(|returns| (chain.value().to_vec(), returns)),
        paid: by_agent(cohort, gathered, &paid),
        uniform_groups: estimate.uniform_groups,
        kl_in_reward: paid_kl,
    })
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

/// The chain's rewards with those that stand on single tokens.
fn add_token_rewards(records: &[EpisodeRecord], gathered: &Gathered, chain: &Chain<f32>) -> Vec<f32> {
    let mut reward = chain.reward().to_vec();
    for (record, turns) in &gathered.episodes {
        let streams = records[*record].reward.iter().flat_map(|streams| &streams.token);
        for (segment, position, amount) in streams {
            for at in turns.clone().filter(|at| gathered.turns[*at].segment == *segment) {
                let token = gathered.turns[at].positions.iter().position(|own| *own as usize == *position);
                if let Some(token) = token {
                    reward[chain.turns()[at].range.start + token] += *amount as f32;
                }
            }
        }
    }
    reward
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
