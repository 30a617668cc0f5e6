//! What must hold for every batch: conservation, invariance, and no leaks.

use marft_algorithms::advantage::at_grpo::{AtGrpoConfig, at_grpo};
use marft_algorithms::advantage::dr_grpo::{DrGrpoConfig, dr_grpo};
use marft_algorithms::advantage::dr_mas::{DrMasConfig, dr_mas};
use marft_algorithms::advantage::gae::{GaeConfig, PerBorder, gae};
use marft_algorithms::advantage::gigpo::{GigpoConfig, gigpo};
use marft_algorithms::advantage::group::{GroupKey, episode_groups};
use marft_algorithms::advantage::grpo::{GrpoConfig, grpo};
use marft_algorithms::advantage::joint::joint;
use marft_algorithms::advantage::magrpo::{MagrpoConfig, magrpo};
use marft_algorithms::advantage::monte_carlo::{MonteCarloConfig, monte_carlo};
use marft_algorithms::advantage::normalise::{NormaliseConfig, normalise};
use marft_algorithms::advantage::reinforce_pp::{ReinforcePpConfig, reinforce_pp};
use marft_algorithms::advantage::rloo::{RlooConfig, rloo};
use marft_algorithms::order::accumulation::chunk_weights;
use marft_algorithms::order::factor::Factor;
use marft_algorithms::order::mini_batch::mini_batches;
use marft_algorithms::trajectory::{Boundary, Chain, Close, EpisodeRecord, TurnIds, TurnRecord};
use proptest::collection::vec;
use proptest::prelude::*;

use super::build::{chain, narrow, turn};
use super::fixtures::near;

/// Ragged episodes with observation tokens, and a value for every element.
fn batches() -> impl Strategy<Value = (Vec<EpisodeRecord<f64>>, Vec<f64>)> {
    let tokens = vec((any::<bool>(), -5.0..0.0), 1..6);
    let turns = vec((tokens, -2.0..2.0, 0..2_u32), 1..6);
    let close = prop_oneof![Just(Close::End), (-1.0..1.0).prop_map(|bootstrap| Close::Truncated { bootstrap })];
    vec((turns, close), 1..4).prop_flat_map(|episodes| {
        let records: Vec<EpisodeRecord<f64>> = episodes
            .into_iter()
            .enumerate()
            .map(|(episode, (turns, close))| {
                let mut step = 0;
                let turns = turns
                    .into_iter()
                    .enumerate()
                    .map(|(at, (tokens, reward, advance))| {
                        step += advance;
                        let (in_loss, logp) = tokens.into_iter().unzip();
                        let ids = TurnIds { episode: episode as u32, step, agent: at as u32 % 3, ..TurnIds::default() };
                        TurnRecord { ids, logp, in_loss, reward }
                    })
                    .collect();
                EpisodeRecord { turns, close }
            })
            .collect();
        let elements = records.iter().flat_map(|episode| &episode.turns).map(|turn| turn.logp.len()).sum::<usize>();
        (Just(records), vec(-2.0..2.0, elements))
    })
}

fn configs() -> impl Strategy<Value = GaeConfig> {
    let border = || (0.0..=1.0, 0.0..=1.0, 0.0..=1.0).prop_map(|(token, agent, step)| PerBorder { token, agent, step });
    (border(), border()).prop_map(|(gamma, lambda)| GaeConfig { gamma, lambda, cut_after_reset: false })
}

/// The definition, in its plainest form: collect the elements in the loss of each episode, then recurse.
fn by_definition(chain: &Chain<f64>, config: &GaeConfig) -> Vec<f64> {
    let mut advantage = vec![0.0; chain.len()];
    let mut truncated = 0;
    for episode in chain.episodes() {
        let elements = chain.turns()[episode.start].range.start..chain.turns()[episode.end - 1].range.end;
        let close = chain.boundary()[elements.end - 1];
        let kept: Vec<usize> = elements.clone().filter(|&i| chain.in_loss()[i]).collect();
        let bootstrap = if close == Boundary::Truncated {
            truncated += 1;
            chain.bootstrap()[truncated - 1]
        } else {
            0.0
        };
        for (at, &i) in kept.iter().enumerate().rev() {
            let next = kept.get(at + 1).copied();
            let until = next.unwrap_or(elements.end);
            let reward: f64 = chain.reward()[i..until].iter().sum();
            let border = *chain.boundary()[i..until].iter().max().expect("an element has a border");
            let (gamma, lambda) = match border {
                Boundary::Token => (config.gamma.token, config.lambda.token),
                Boundary::Agent => (config.gamma.agent, config.lambda.agent),
                _ => (config.gamma.step, config.lambda.step),
            };
            let next_value = next.map_or(bootstrap, |next| chain.value()[next]);
            let next_advantage = next.map_or(0.0, |next| advantage[next]);
            advantage[i] = reward + gamma * next_value - chain.value()[i] + gamma * lambda * next_advantage;
        }
    }
    advantage
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_scan_is_the_definition((records, values) in batches(), config in configs()) {
        let chain = chain(records, values);
        near(&gae(&chain, &config).unwrap().advantage, &by_definition(&chain, &config), 1e-9);
    }

    #[test]
    fn skipped_elements_never_leak((records, values) in batches(), config in configs(), noise in -1e6..1e6_f64) {
        let clean = chain(records, values);
        let mut noisy = clean.clone();
        let values = clean.value().iter().zip(clean.in_loss()).map(|(&v, &kept)| if kept { v } else { noise });
        noisy.set_values(values.collect()).unwrap();
        let got = gae(&noisy, &config).unwrap();
        prop_assert_eq!(&got, &gae(&clean, &config).unwrap());
        for (advantage, kept) in got.advantage.iter().zip(clean.in_loss()) {
            prop_assert!(*kept || *advantage == 0.0);
        }
        let whitened = normalise(&clean, &got.advantage, &NormaliseConfig::default()).unwrap();
        prop_assert!(whitened.iter().zip(clean.in_loss()).all(|(a, kept)| *kept || *a == 0.0));
    }

    #[test]
    fn packing_changes_nothing((records, values) in batches(), config in configs()) {
        // Every episode alone gives what all of them give together.
        let together = gae(&chain(records.clone(), values.clone()), &config).unwrap().advantage;
        let mut alone = Vec::new();
        let mut from = 0;
        for record in records {
            let to = from + record.turns.iter().map(|turn| turn.logp.len()).sum::<usize>();
            alone.extend(gae(&chain(vec![record], values[from..to].to_vec()), &config).unwrap().advantage);
            from = to;
        }
        prop_assert_eq!(together, alone);
    }

    #[test]
    fn padding_changes_nothing((records, values) in batches(), config in configs(), pad in 1..5_usize) {
        let bare = chain(records.clone(), values.clone());
        let (mut padded, mut padded_values, mut from) = (records, Vec::new(), 0);
        for turn in padded.iter_mut().flat_map(|episode| &mut episode.turns) {
            let len = turn.logp.len();
            padded_values.extend_from_slice(&values[from..from + len]);
            padded_values.extend(std::iter::repeat_n(77.0, pad));
            turn.logp.resize(len + pad, 0.0);
            turn.in_loss.resize(len + pad, false);
            from += len;
        }
        let padded = chain(padded, padded_values);
        let kept = |chain: &Chain<f64>, numbers: &[f64]| -> Vec<f64> {
            numbers.iter().zip(chain.in_loss()).filter_map(|(&a, &kept)| kept.then_some(a)).collect()
        };
        let got = kept(&padded, &gae(&padded, &config).unwrap().advantage);
        near(&got, &kept(&bare, &gae(&bare, &config).unwrap().advantage), 1e-12);
    }

    #[test]
    fn token_level_is_action_level_at_length_one(rewards in vec(-2.0..2.0, 1..8), values in vec(-2.0..2.0, 8), config in configs()) {
        let turns: Vec<_> = rewards
            .iter()
            .enumerate()
            .map(|(at, &reward)| turn(TurnIds { step: at as u32 / 2, agent: at as u32 % 2, ..TurnIds::default() }, 1, reward))
            .collect();
        let values = values[..turns.len()].to_vec();
        let chain = chain(vec![EpisodeRecord { turns, close: Close::End }], values);
        prop_assert_eq!(gae(&chain, &config).unwrap(), gae(&chain.actions(), &config).unwrap());
    }

    #[test]
    fn without_dependencies_the_order_of_the_agents_changes_nothing(
        rewards in vec(-2.0..2.0, 6), values in vec(-2.0..2.0, 6), config in configs(), swap in any::<[bool; 3]>(),
    ) {
        // Two agents, three steps, D = 0: each has its own reward and its own value. `swap` reverses some steps.
        let build = |swap: [bool; 3]| {
            let mut picked = Vec::new();
            let turns = (0..6)
                .map(|at| {
                    let (step, first) = (at / 2, at % 2);
                    let agent = if swap[step] { 1 - first } else { first };
                    picked.push(values[step * 2 + agent]);
                    let ids = TurnIds { step: step as u32, agent: agent as u32, ..TurnIds::default() };
                    turn(ids, 1, rewards[step * 2 + agent])
                })
                .collect();
            chain(vec![EpisodeRecord { turns, close: Close::End }], picked)
        };
        let by_agent = |chain: &Chain<f64>, numbers: &[f64]| -> Vec<(u32, u32, f64)> {
            let mut all: Vec<_> =
                chain.turns().iter().map(|turn| (turn.ids.step, turn.ids.agent, numbers[turn.range.start])).collect();
            all.sort_by_key(|&(step, agent, _)| (step, agent));
            all
        };
        let independent = |chain: &Chain<f64>| {
            let own = chain.per_agent();
            let advantage = gae(&own.chain, &config).unwrap().advantage;
            by_agent(chain, &own.restore(&advantage).unwrap())
        };
        let (plain, swapped) = (build([false; 3]), build(swap));
        prop_assert_eq!(independent(&plain), independent(&swapped));
        // The joint estimators know no order within a step: the sums may differ in the last bit only.
        let shared = |chain: &Chain<f64>| monte_carlo(&chain.actions(), &MonteCarloConfig::default()).unwrap().returns[0];
        near(&[shared(&plain)], &[shared(&swapped)], 1e-12);
    }

    #[test]
    fn group_advantages_sum_to_zero(rewards in vec(-5.0..5.0, 4..24), size in 2..5_usize) {
        let groups: Vec<u32> = (0..rewards.len()).map(|i| ((i / size) as u32).min((rewards.len() / size - 1) as u32)).collect();
        let mut outputs = vec![
            grpo(&rewards, &groups, &GrpoConfig::default()).unwrap().advantage,
            rloo(&rewards, &groups, &RlooConfig::default()).unwrap().advantage,
        ];
        for advantage in &mut outputs {
            let mut sums = vec![0.0; *groups.last().unwrap() as usize + 1];
            for (a, &group) in advantage.iter().zip(&groups) {
                sums[group as usize] += a;
            }
            prop_assert!(sums.iter().all(|sum: &f64| sum.abs() < 1e-8), "{sums:?}");
        }
    }

    #[test]
    fn group_advantages_do_not_see_a_shift(rewards in vec(-1.0..1.0, 6), shift in -100.0..100.0_f64) {
        let groups = [0, 0, 0, 1, 1, 1];
        let moved: Vec<f64> = rewards.iter().map(|r| r + shift).collect();
        let advantage = |rewards: &[f64]| rloo(rewards, &groups, &RlooConfig::default()).unwrap().advantage;
        near(&advantage(&rewards), &advantage(&moved), 1e-9);
    }

    #[test]
    fn m_is_the_product_of_the_ratios_in_any_order(ratios in vec(vec(-3.0..3.0, 2), 1..6)) {
        let through = |order: &mut dyn Iterator<Item = &Vec<f64>>| {
            let mut factor = Factor::new(2);
            for ratio in order {
                factor.update(ratio, &[0.0, 0.0]).unwrap();
            }
            factor.weights()
        };
        let forward = through(&mut ratios.iter());
        let product: Vec<f64> = (0..2).map(|row| ratios.iter().map(|r| r[row].exp()).product()).collect();
        for (got, want) in forward.iter().zip(&product) {
            prop_assert!((got / want - 1.0).abs() < 1e-9);
        }
        for (got, want) in forward.iter().zip(through(&mut ratios.iter().rev())) {
            prop_assert!((got / want - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn mini_batches_hold_every_row_once(rows in 1..200_usize, batches in 1..20_usize, seed in any::<u64>()) {
        prop_assume!(batches <= rows);
        let parts = mini_batches(rows, batches, seed).unwrap();
        prop_assert_eq!(parts.len(), batches);
        let (least, most) = parts.iter().fold((rows, 0), |(l, m), part| (l.min(part.len()), m.max(part.len())));
        prop_assert!(most - least <= 1);
        let mut all = parts.concat();
        all.sort_unstable();
        prop_assert!(all.into_iter().eq(0..rows));
    }

    #[test]
    fn chunks_of_any_size_add_up_to_the_batch(items in vec(-5.0..5.0, 1..40), size in 1..40_usize) {
        let whole = items.iter().sum::<f64>() / items.len() as f64;
        let counts: Vec<u64> = items.chunks(size).map(|chunk| chunk.len() as u64).collect();
        let parts = chunk_weights(&counts).unwrap();
        let sum: f64 = items.chunks(size).zip(parts).map(|(c, w)| w * c.iter().sum::<f64>() / c.len() as f64).sum();
        prop_assert!((sum - whole).abs() < 1e-9);
    }

    #[test]
    fn per_agent_chains_hold_the_same_elements((records, values) in batches()) {
        let chain = chain(records, values);
        let own = chain.per_agent();
        prop_assert_eq!(own.restore(own.chain.reward()).unwrap(), chain.reward());
        prop_assert_eq!(own.restore(own.chain.value()).unwrap(), chain.value());
        for (&border, &kept) in own.chain.boundary().iter().zip(own.chain.in_loss()) {
            prop_assert!(border != Boundary::Agent, "kept: {kept}");
        }
    }
}

#[test]
fn episodes_of_one_two_and_a_thousand_tokens() {
    for tokens in [1, 2, 1000] {
        let record = EpisodeRecord { turns: vec![turn(TurnIds::default(), tokens, 1.0)], close: Close::End };
        let chain = chain(vec![record], vec![0.25; tokens]);
        let config = GaeConfig { lambda: PerBorder::flat(1.0), ..GaeConfig::default() };
        assert_eq!(gae(&chain, &config).unwrap().advantage, vec![0.75; tokens]);
    }
}

#[test]
fn an_undiscounted_token_border_keeps_the_credit_of_the_first_of_a_thousand_tokens() {
    let record = EpisodeRecord { turns: vec![turn(TurnIds::default(), 1000, 1.0)], close: Close::End };
    let chain = chain(vec![record], vec![0.0; 1000]);
    let first = |gamma: f64, lambda: f64| {
        let config =
            GaeConfig { gamma: PerBorder::flat(gamma), lambda: PerBorder::flat(lambda), cut_after_reset: false };
        gae(&chain, &config).unwrap().advantage[0]
    };
    assert_eq!(first(1.0, 1.0), 1.0);
    // .9405^999 = 2.5e-27: what a flat .99 and .95 leave of it.
    assert!(first(0.99, 0.95) < 1e-26);
}

#[test]
fn extreme_rewards_stay_finite_or_are_refused() {
    let with = |reward: f64| {
        let record = EpisodeRecord { turns: vec![turn(TurnIds::default(), 2, reward)], close: Close::End };
        let mut chain = Chain::from_episodes([record])?;
        chain.set_values(vec![-f64::MAX / 4.0, 0.0])?;
        gae(&chain, &GaeConfig::default())
    };
    assert!(with(f64::MAX / 4.0).unwrap().advantage.iter().all(|a| a.is_finite()));
    assert!(with(f64::MAX).is_err(), "an overflow is an error, not an infinity");
    assert!(with(f64::INFINITY).is_err());
    // Finite in f64, too large for the f32 that is stored.
    let record = EpisodeRecord { turns: vec![turn(TurnIds::default(), 1, 3e38)], close: Close::End };
    assert!(gae(&narrow(&[record], &[-3e38]), &GaeConfig::default()).is_err());
    let groups = [0, 0];
    let tiny = grpo(&[1.0, 1.0 + f64::EPSILON], &groups, &GrpoConfig::default()).unwrap().advantage;
    assert!(tiny.iter().all(|a| a.abs() < 1e-9), "noise must not be blown up: {tiny:?}");
}

#[test]
fn three_agents_get_three_different_advantages() {
    // A peer stores the results of all earlier agents under the key of the last loop variable.
    let ids = |agent| TurnIds { agent, ..TurnIds::default() };
    let turns = vec![turn(ids(0), 2, 0.0), turn(ids(1), 2, 0.0), turn(ids(2), 2, 1.0)];
    let chain = chain(vec![EpisodeRecord { turns, close: Close::End }], vec![0.5, 0.5, 0.25, 0.25, 0.125, 0.125]);
    let config = GaeConfig { lambda: PerBorder::flat(1.0), ..GaeConfig::default() };
    let advantage = gae(&chain, &config).unwrap().advantage;
    assert_eq!(advantage, [0.5, 0.5, 0.75, 0.75, 0.875, 0.875]);
}

#[test]
fn the_first_agent_of_a_chain_of_three_gets_credit_of_the_right_sign() {
    // Only agent 0's token decides the reward. Token-level credit without a critic, centred by the batch.
    let episode = |episode: u32| {
        let right = episode.is_multiple_of(2);
        let turns = (0..3)
            .map(|agent| {
                let reward = f64::from(u8::from(agent == 2 && right));
                turn(TurnIds { episode, agent, ..TurnIds::default() }, 4, reward)
            })
            .collect();
        EpisodeRecord { turns, close: Close::End }
    };
    let chain = Chain::from_episodes((0..8).map(episode)).unwrap();
    let returns = monte_carlo(&chain, &MonteCarloConfig::default()).unwrap().returns;
    let advantage = normalise(&chain, &returns, &NormaliseConfig::default()).unwrap();
    for turn in chain.turns().iter().filter(|turn| turn.ids.agent == 0) {
        let right = turn.ids.episode.is_multiple_of(2);
        assert!(turn.range.clone().all(|i| (advantage[i] > 0.0) == right));
    }
}

#[test]
fn the_joint_advantage_of_a_step_does_not_depend_on_who_is_recorded_first() {
    let build = |order: [u32; 2]| {
        let turns = order.map(|agent| turn(TurnIds { agent, ..TurnIds::default() }, 1, f64::from(agent))).to_vec();
        chain(vec![EpisodeRecord { turns, close: Close::End }], vec![0.5; 2])
    };
    let config = GaeConfig::default();
    assert_eq!(joint(&build([0, 1]), &config).unwrap(), joint(&build([1, 0]), &config).unwrap());
}

#[test]
fn a_group_of_one_is_refused_whatever_the_estimator() {
    let record = EpisodeRecord { turns: vec![turn(TurnIds::default(), 1, 1.0)], close: Close::End };
    let chain = Chain::from_episodes([record]).unwrap();
    let rewards = chain.episode_returns();
    let groups = episode_groups(&chain);
    assert!(grpo(&rewards, &groups, &GrpoConfig::default()).is_err());
    assert!(rloo(&rewards, &groups, &RlooConfig::default()).is_err());
    assert!(magrpo(&chain, &MagrpoConfig::default()).is_err());
    assert!(dr_grpo(&rewards, &groups, &DrGrpoConfig::default()).is_err());
    assert!(dr_mas(&chain, &DrMasConfig::default()).is_err());
    assert!(at_grpo(&chain, &AtGrpoConfig::default()).is_err());
    assert!(gigpo(&chain, &[1], &GigpoConfig::default()).is_err());
    let baseline = ReinforcePpConfig { baseline: true, ..ReinforcePpConfig::default() };
    assert!(reinforce_pp(&chain, &baseline).is_err());
    assert_eq!(GroupKey::AgentTurn.turns(&chain), [0]);
}
