//! A whole update of MARFT's first release, against its arithmetic written out plainly: chain, mini-batches, chunks, losses.

use marft_algorithms::loss::{PolicyBatch, entropy_bonus};
use marft_algorithms::preset::Algorithm;
use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord, TurnIds, TurnRecord};
use marft_algorithms::value::{ValueBatch, value_loss};
use serde_json::json;

use super::resolve;

/// Tokens of both agents in each of five episodes of one step, and what the last token earned.
const EPISODES: [([usize; 2], f64); 5] = [([1, 3], 1.0), ([2, 2], 0.0), ([4, 1], 1.0), ([1, 1], 0.0), ([2, 1], 1.0)];

/// A number in [-0.5, 0.5) for every place.
fn noise(seed: usize, at: usize) -> f64 {
    let mixed = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (seed as u64).wrapping_mul(0xd134_2543_de82_ef95);
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

fn column(seed: usize, length: usize) -> Vec<f64> {
    (0..length).map(|at| noise(seed, at)).collect()
}

fn batch(values: &[f64]) -> Chain<f64> {
    let record = |(episode, (tokens, reward)): (usize, &([usize; 2], f64))| {
        let turn = |(agent, &tokens): (usize, &usize)| {
            let ids = TurnIds { episode: episode as u32, agent: agent as u32, ..TurnIds::default() };
            let reward = if agent == 1 { *reward } else { 0.0 };
            TurnRecord { ids, logp: vec![-0.5; tokens], in_loss: vec![true; tokens], reward }
        };
        EpisodeRecord { turns: tokens.iter().enumerate().map(turn).collect(), close: Close::End }
    };
    let mut chain = Chain::from_episodes(EPISODES.iter().enumerate().map(record)).expect("a proper chain");
    chain.set_values(values.to_vec()).expect("a value each");
    chain
}

/// Advantages and returns by the reference's loops: one discount everywhere, and in all episodes but the first of the batch
/// nothing comes back over the border between two agents.
fn chained(values: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (mut advantage, mut start) = (vec![], 0);
    for (episode, (tokens, reward)) in EPISODES.iter().enumerate() {
        let length = tokens[0] + tokens[1];
        let own = &values[start..start + length];
        let mut of_episode = vec![0.0; length];
        let (mut later, mut next) = (0.0, 0.0);
        for at in (0..length).rev() {
            let earned = if at + 1 == length { *reward } else { 0.0 };
            let carried = if at + 1 == tokens[0] && episode > 0 { 0.0 } else { 1.0 };
            let delta = earned + 0.99 * carried * next - own[at];
            later = delta + 0.99 * 0.95 * carried * later;
            (of_episode[at], next) = (later, own[at]);
        }
        advantage.extend(of_episode);
        start += length;
    }
    let returns = advantage.iter().zip(values).map(|(advantage, value)| advantage + value).collect();
    (advantage, returns)
}

/// Half the square, linear above 10, and nothing at all below -10.
fn huber(error: f64) -> f64 {
    if error < -10.0 {
        0.0
    } else if error > 10.0 {
        10.0 * (error - 5.0)
    } else {
        error * error / 2.0
    }
}

fn near(got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() < 1e-9, "{got} instead of {want}");
    }
}

#[test]
fn a_whole_update_is_the_arithmetic_of_the_first_release() {
    let settings = json!({ "preset": "marft-v1-token", "mini_batches": 2 });
    let algorithm: Algorithm = resolve(settings).expect("a preset");
    let length: usize = EPISODES.iter().map(|(tokens, _)| tokens[0] + tokens[1]).sum();
    let values = column(1, length);
    let chain = algorithm.elements(batch(&values));
    let estimate = algorithm.estimate(&chain, None, None).expect("an estimate");
    let (advantage, returns) = chained(&values);
    near(&estimate.advantage, &advantage);
    near(&estimate.returns.expect("a critic"), &returns);

    let (new, now, entropy) = (column(2, length), column(3, length), column(4, length));
    let new: Vec<f64> = new.iter().map(|shift| -0.5 + shift).collect();
    let (now, entropy): (Vec<f64>, Vec<f64>) =
        (now.iter().map(|value| 40.0 * value).collect(), entropy.iter().map(|nats| nats + 0.5).collect());
    let places = |episode: usize| -> std::ops::Range<usize> {
        let start = EPISODES[..episode].iter().map(|(tokens, _)| tokens[0] + tokens[1]).sum::<usize>();
        start..start + EPISODES[episode].0[0] + EPISODES[episode].0[1]
    };
    let mini_batches = algorithm.mini_batches(EPISODES.len(), 7).expect("two of two, one is lost");
    assert_eq!(mini_batches.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    for rows in mini_batches {
        let all: Vec<f64> = rows.iter().flat_map(|row| advantage[places(*row)].to_vec()).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let deviation = (all.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt();
        let mut scaled = algorithm.in_mini_batch(all.clone()).into_iter();
        // every episode is a chunk of its own
        let tokens: Vec<u64> = rows.iter().map(|row| places(*row).len() as u64).collect();
        let weights = algorithm.chunk_weights(&[1, 1], &tokens).expect("two chunks");
        for ((row, weight), count) in rows.iter().zip(weights).zip(tokens) {
            let at = places(*row);
            let (count, turns) = (count as f64, EPISODES[*row].0);
            let own: Vec<f64> = scaled.by_ref().take(at.len()).collect();
            near(&own, &advantage[at.clone()].iter().map(|a| (a - mean) / (deviation + 1e-8)).collect::<Vec<_>>());
            let (mut loss, mut slopes, mut value) = (0.0, vec![], 0.0);
            for (place, scaled) in at.clone().zip(&own) {
                let ratio = (new[place] + 0.5).exp();
                let (free, clipped) = (-ratio * scaled, -ratio.clamp(0.8, 1.2) * scaled);
                loss += (free.max(clipped) - 0.01 * entropy[place]) * 0.5 / count;
                slopes.push(if free >= clipped { free * 0.5 / count } else { 0.0 });
                let kept = values[place] + (now[place] - values[place]).clamp(-0.2, 0.2);
                value += huber(returns[place] - kept).max(huber(returns[place] - now[place])) * 0.5 / count;
            }
            let tensor = |column: &[f64]| tch::Tensor::from_slice(&column[at.clone()]).set_requires_grad(true);
            let (old, in_loss) = (vec![-0.5; at.len()], vec![true; at.len()]);
            let logp = tensor(&new);
            let policy = PolicyBatch::new(&old, &own, &in_loss, &turns);
            let surrogate = algorithm.policy_loss(&logp, &policy, None).expect("a loss");
            let bonus = algorithm.entropy_bonus().expect("a bonus");
            let bonus = entropy_bonus::<f64>(&tensor(&entropy), &in_loss, &turns, None, &bonus).expect("a loss");
            near(&[(surrogate.value + bonus.value) * weight], &[loss]);
            (surrogate.loss * weight).backward();
            near(&Vec::<f64>::try_from(logp.grad()).expect("a column"), &slopes);
            let critic = ValueBatch::new(&values[at.clone()], &returns[at.clone()], &in_loss, &turns);
            let critic =
                value_loss(&tensor(&now), &critic, &algorithm.value_loss().expect("a critic")).expect("a loss");
            near(&[critic.value * weight], &[value]);
        }
    }
}
