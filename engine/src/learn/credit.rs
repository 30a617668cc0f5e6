//! Credit: what every turn is paid, by the rule of the algorithm.
//!
//! Terms that attach to a token, a turn or an agent are paid there, whatever the rule. The rule divides what the team earned:
//! at the end of the episode, and per step of the environment.

use std::collections::BTreeMap;

use marft_algorithms::credit::last_agent::last_agent;
use marft_algorithms::credit::own_team_mix::own_team_mix;
use marft_algorithms::credit::step_discount::step_discount;
use marft_algorithms::preset::{Algorithm, CreditRule, Estimator};

use super::gather::Spoken;
use super::{Cohort, LearnError, Player};
use crate::episode::{EpisodeRecord, RewardStreams};

/// What replays have shown each turn of an episode's record to be worth, by the episode's id.
pub type Credits = BTreeMap<String, Vec<f64>>;

/// The reward of each of an episode's `turns`, in order. `credits` is read by rules that need replays; they pay everything
/// that was earned, wherever it attaches.
pub(super) fn pay(
    record: &EpisodeRecord,
    turns: &[Spoken],
    cohort: &Cohort,
    credits: &Credits,
) -> Result<Vec<f64>, LearnError> {
    let algorithm = &cohort.algorithm;
    if let Some(rule) = replayed(algorithm.credit) {
        let credit = credits.get(&record.id).ok_or(LearnError::NoReplays { rule })?;
        let mut paid = vec![0.0; turns.len()];
        for (turn, amount) in credit.iter().enumerate() {
            pay_turn(&mut paid, turns, turn, *amount);
        }
        return Ok(with_overlong(paid, turns, algorithm));
    }
    let none = RewardStreams::default();
    let streams = record.reward.as_ref().unwrap_or(&none);
    let own = own(record, turns, streams);
    let mut paid = match algorithm.credit {
        _ if cohort.players.iter().any(|player| player.shares.is_some()) => {
            share(turns, streams, cohort, |player| player.shares == Some(true))
        }
        CreditRule::TeamShared => share(turns, streams, cohort, |_| true),
        CreditRule::OwnTeamMix => {
            let mut own = own.clone();
            add(&mut own, &last_agent(turns.len(), streams.episode + streams.team.iter().sum::<f64>())?);
            return Ok(with_overlong(own_team_mix(&own, algorithm.team_weight)?, turns, algorithm));
        }
        rule => divide(rule, turns, streams, algorithm)?,
    };
    add(&mut paid, &own);
    Ok(with_overlong(paid, turns, algorithm))
}

/// Whether a rule asks what would have happened otherwise.
pub(crate) fn needs_replays(rule: CreditRule) -> bool {
    replayed(rule).is_some()
}

/// The name of a rule that needs replays.
fn replayed(rule: CreditRule) -> Option<&'static str> {
    match rule {
        CreditRule::Difference => Some("difference"),
        CreditRule::LeaveOneOut => Some("leave-one-out"),
        CreditRule::RolloutValue => Some("rollout-value"),
        _ => None,
    }
}

/// What the team earned, divided by the rule: step by step where the environment paid by step, the rest at the end.
fn divide(
    rule: CreditRule,
    turns: &[Spoken],
    streams: &RewardStreams,
    algorithm: &Algorithm,
) -> Result<Vec<f64>, LearnError> {
    let by_rule = |count: usize, reward: f64| -> Result<Vec<f64>, LearnError> {
        Ok(match rule {
            CreditRule::StepDiscount => step_discount(count, reward, algorithm.credit_discount)?,
            _ => last_agent(count, reward)?,
        })
    };
    let mut paid = by_rule(turns.len(), streams.episode)?;
    for (step, reward) in streams.team.iter().enumerate().filter(|(_, reward)| **reward != 0.0) {
        let of_step: Vec<usize> = (0..turns.len()).filter(|at| turns[*at].ids.step as usize == step).collect();
        // a step in which nobody of the cohort spoke falls to whoever spoke last before it
        let fallback = (0..turns.len()).rev().find(|at| turns[*at].ids.step as usize <= step).unwrap_or(0);
        if of_step.is_empty() {
            paid[fallback] += reward;
        } else {
            let parts = by_rule(of_step.len(), *reward)?;
            of_step.iter().zip(parts).for_each(|(at, part)| paid[*at] += part);
        }
    }
    Ok(paid)
}

/// What the team earned, to every agent that shares in it in full: at its last turn, or at each where turns are compared.
fn share(turns: &[Spoken], streams: &RewardStreams, cohort: &Cohort, shares: impl Fn(&Player) -> bool) -> Vec<f64> {
    let mut paid = vec![0.0; turns.len()];
    let each_turn = cohort.algorithm.estimator == Estimator::AtGrpo;
    let sharers = cohort.players.iter().enumerate().filter(|(_, player)| shares(player));
    for (agent, _) in sharers {
        let own: Vec<usize> = (0..turns.len()).filter(|at| turns[*at].ids.agent as usize == agent).collect();
        let mut pay = |reward: f64, earned: &dyn Fn(u32) -> bool| {
            let mut had_a_part = own.iter().rev().copied().filter(|at| earned(turns[*at].ids.step));
            had_a_part.by_ref().take(if each_turn { usize::MAX } else { 1 }).for_each(|at| paid[at] += reward);
        };
        pay(streams.episode, &|_| true);
        for (step, reward) in streams.team.iter().enumerate() {
            pay(*reward, &|own| if each_turn { own as usize == step } else { own as usize <= step });
        }
    }
    paid
}

/// What single turns and agents earned.
fn own(record: &EpisodeRecord, turns: &[Spoken], streams: &RewardStreams) -> Vec<f64> {
    let mut paid = vec![0.0; turns.len()];
    for (turn, reward) in &streams.turn {
        pay_turn(&mut paid, turns, *turn, *reward);
    }
    for (agent, reward) in &streams.agent {
        if let Some(at) = turns.iter().rposition(|spoken| *record.turns[spoken.turn].agent == **agent) {
            paid[at] += reward;
        }
    }
    paid
}

/// Pays a turn of the record at the answer it ended with.
fn pay_turn(paid: &mut [f64], turns: &[Spoken], turn: usize, reward: f64) {
    if let Some(at) = turns.iter().rposition(|spoken| spoken.turn == turn) {
        paid[at] += reward;
    }
}

fn with_overlong(mut paid: Vec<f64>, turns: &[Spoken], algorithm: &Algorithm) -> Vec<f64> {
    if let Some(overlong) = algorithm.overlong() {
        let penalties: Vec<f64> = turns.iter().map(|turn| overlong.penalty(turn.logprobs.len())).collect();
        add(&mut paid, &penalties);
    }
    paid
}

fn add(sum: &mut [f64], parts: &[f64]) {
    sum.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
}

#[cfg(test)]
mod tests {
    use marft_agents::generate::PolicyId;
    use marft_algorithms::trajectory::TurnIds;

    use super::*;

    /// Three agents of which `shares` says what they get.
    fn cohort(estimator: Estimator, shares: [Option<bool>; 3]) -> Cohort {
        let player = |(place, shares)| {
            let (label, policy) = (String::new(), PolicyId(0));
            Player { label, place, policy, temperature: 1.0, shares }
        };
        let algorithm = Algorithm { estimator, ..Algorithm::default() };
        Cohort {
            algorithm,
            players: shares.into_iter().enumerate().map(player).collect(),
            index: 0,
            critic: None,
            kl_target: None,
        }
    }

    /// Turns of agents at steps.
    fn turns(of: &[(u32, u32)]) -> Vec<Spoken> {
        let spoken = |(turn, (agent, step)): (usize, &(u32, u32))| Spoken {
            ids: TurnIds { agent: *agent, step: *step, ..TurnIds::default() },
            turn,
            row: 0,
            segment: 0,
            logprobs: vec![],
            positions: vec![],
            in_loss: true,
            anchor: 0,
            words: 0,
        };
        of.iter().enumerate().map(spoken).collect()
    }

    #[test]
    fn who_shares_gets_all_of_it_at_its_last_turn() {
        let turns = turns(&[(0, 0), (1, 0), (2, 0), (0, 1), (1, 1)]);
        let streams = RewardStreams { episode: 1.0, team: vec![10.0, 100.0], ..RewardStreams::default() };
        let shares = [Some(true), Some(false), Some(true)];
        // agent 2 did not speak in step 1, but before it
        let paid = |estimator, to: fn(&Player) -> bool| share(&turns, &streams, &cohort(estimator, shares), to);
        let some: fn(&Player) -> bool = |player| player.shares == Some(true);
        assert_eq!(paid(Estimator::Gae, some), [10.0, 0.0, 111.0, 101.0, 0.0]);
        assert_eq!(paid(Estimator::AtGrpo, some), [11.0, 0.0, 11.0, 101.0, 0.0]);
        assert_eq!(paid(Estimator::Gae, |_| true), [10.0, 10.0, 111.0, 101.0, 101.0]);
    }
}
