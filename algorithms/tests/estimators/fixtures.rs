//! Reading `fixtures.json`, made by `tests/reference/gen_fixtures.py`, and every fixture that is not about GAE.

use marft_algorithms::advantage::dr_grpo::{DrGrpoConfig, dr_grpo};
use marft_algorithms::advantage::group::Std;
use marft_algorithms::advantage::joint::decompose;
use marft_algorithms::advantage::monte_carlo::{MonteCarloConfig, monte_carlo};
use marft_algorithms::advantage::normalise::{NormaliseConfig, Scope, normalise, normalise_nonzero, whiten};
use marft_algorithms::credit::last_agent::last_agent;
use marft_algorithms::credit::per_step::per_step;
use marft_algorithms::credit::step_discount::step_discount;
use marft_algorithms::order::accumulation::chunk_weights;
use marft_algorithms::order::factor::Factor;
use marft_algorithms::order::schedule::{Schedule, SequentialOrder};
use marft_algorithms::order::warm_up::WarmUp;
use marft_algorithms::preset::{Algorithm, Compat};
use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord, TurnIds, TurnRecord};
use serde_json::Value;

use super::build::{self, chain, turn};

/// One fixture: its inputs and the expected numbers.
pub(crate) fn fixture(name: &str) -> (Value, Value) {
    let all: Value = serde_json::from_str(include_str!("../fixtures/fixtures.json")).expect("valid json");
    (all[name]["inputs"].clone(), all[name]["expected"].clone())
}

/// All numbers below a value, depth first.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        Value::Number(number) => vec![number.as_f64().expect("a float")],
        other => panic!("no number in {other}"),
    }
}

/// One number.
pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// Equality within `tolerance`, with the place of the first difference.
pub(crate) fn near(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance, "at {i}: {g} instead of {w}");
    }
}

/// f64 from the reference.
pub(crate) const EXACT: f64 = 1e-9;
/// The same through f32.
pub(crate) const SINGLE: f64 = 1e-5;

#[test]
fn adv_norm() {
    let (inputs, expected) = fixture("adv_norm");
    let advantages = numbers(&inputs["advantages"]);
    near(&normalise_nonzero(&advantages), &numbers(&expected["legacy"]), EXACT);

    let in_loss: Vec<bool> = numbers(&inputs["mask"]).iter().map(|&m| m > 0.0).collect();
    let turn = TurnRecord { logp: vec![0.0; in_loss.len()], in_loss, ..TurnRecord::default() };
    let records = [EpisodeRecord { turns: vec![turn], close: Close::End }];
    let chain = chain(records.to_vec(), vec![0.0; advantages.len()]);
    let got = normalise(&chain, &advantages, &NormaliseConfig::default()).unwrap();
    near(&got, &numbers(&expected["correct"]), EXACT);

    // In f32: the chain, and tensors with a mask of integers.
    let narrow: Vec<f32> = advantages.iter().map(|&a| a as f32).collect();
    let single = build::narrow(&records, &vec![0.0; narrow.len()]);
    let got = normalise(&single, &narrow, &NormaliseConfig::default()).unwrap();
    near(&got.into_iter().map(f64::from).collect::<Vec<_>>(), &numbers(&expected["correct"]), SINGLE);
    let mask: Vec<i64> = numbers(&inputs["mask"]).iter().map(|&m| m as i64).collect();
    let (tensor, mask) = (tch::Tensor::from_slice(&narrow), tch::Tensor::from_slice(&mask));
    let got = Vec::<f32>::try_from(&whiten(&tensor, &mask, Std::Biased, 1e-8).unwrap()).unwrap();
    let got: Vec<f64> = got.into_iter().map(f64::from).collect();
    near(&got, &numbers(&expected["correct"]), SINGLE);
}

#[test]
fn group1_mean_centering_erases_reward() {
    let (inputs, expected) = fixture("group1_mean_centering_erases_reward");
    let (values, rewards) = (numbers(&inputs["values"]), numbers(&inputs["rewards"]));
    let records = |rewards: &[f64]| -> Vec<EpisodeRecord<f64>> {
        let record = |(index, &reward): (usize, &f64)| {
            let ids = TurnIds { episode: index as u32, group: index as u32, ..TurnIds::default() };
            EpisodeRecord { turns: vec![turn(ids, 3, reward)], close: Close::End }
        };
        rewards.iter().enumerate().map(record).collect()
    };
    let chain = chain(records(&rewards), values.clone());
    let returns = |chain: &Chain<f64>| monte_carlo(chain, &MonteCarloConfig::default()).unwrap().advantage;
    let raw = returns(&chain);
    near(&raw, &numbers(&expected["raw"]), EXACT);
    // Centring each sequence by its own tokens gives the same whatever the reward was ...
    let centred = |raw: &[f64]| -> Vec<f64> {
        raw.chunks(3).flat_map(|own| dr_grpo(own, &[0; 3], &DrGrpoConfig::default()).unwrap().advantage).collect()
    };
    near(&centred(&raw), &numbers(&expected["centred"]), EXACT);
    let flipped: Vec<f64> = rewards.iter().map(|reward| 1.0 - reward).collect();
    let flipped = returns(&build::chain(records(&flipped), values.clone()));
    near(&centred(&flipped), &numbers(&expected["centred_with_rewards_flipped"]), EXACT);
    near(&centred(&flipped), &centred(&raw), EXACT);
    // ... so it is refused, in both floats, with the reason and the way out.
    let config = NormaliseConfig { mean: Scope::Group, ..NormaliseConfig::default() };
    let narrow: Vec<f32> = raw.iter().map(|&a| a as f32).collect();
    let refusals = [
        normalise(&chain, &raw, &config).unwrap_err(),
        normalise(&build::narrow(&records(&rewards), &values), &narrow, &config).unwrap_err(),
    ];
    for refusal in refusals.map(|error| error.to_string()) {
        assert!(refusal.contains("removes the reward") && refusal.contains("centre over the batch"), "{refusal}");
    }
    // Over the batch the reward survives.
    let batch = NormaliseConfig { std: Std::None, ..NormaliseConfig::default() };
    let kept = normalise(&chain, &raw, &batch).unwrap();
    assert!(kept[..3].iter().sum::<f64>() > kept[3..].iter().sum::<f64>() + 1.0);
}

#[test]
fn advantage_decomposition() {
    let (inputs, expected) = fixture("advantage_decomposition");
    let q: Vec<Vec<f64>> = inputs["Q"].as_array().unwrap().iter().map(numbers).collect();
    let first = numbers(&inputs["pi1"]);
    let second: Vec<Vec<f64>> = inputs["pi2_given_a1"].as_array().unwrap().iter().map(numbers).collect();
    let q1: Vec<f64> = q.iter().zip(&second).map(|(q, p)| q.iter().zip(p).map(|(q, p)| q * p).sum()).collect();
    let v: f64 = first.iter().zip(&q1).map(|(p, q)| p * q).sum();
    near(&[v], &[number(&expected["V"])], EXACT);
    near(&q1, &numbers(&expected["Q1"]), EXACT);
    let mut first_mean = 0.0;
    for (a1, row) in q.iter().enumerate() {
        let mut second_mean = 0.0;
        for (a2, &joint) in row.iter().enumerate() {
            let parts = decompose(v, &[q1[a1], joint]).unwrap();
            near(&parts[..1], &[number(&expected["A1"][a1])], EXACT);
            near(&parts[1..], &[number(&expected["A2"][a1][a2])], EXACT);
            near(&[parts.iter().sum()], &[number(&expected["joint"][a1][a2])], EXACT);
            first_mean += first[a1] * second[a1][a2] * parts[0];
            second_mean += second[a1][a2] * parts[1];
        }
        near(&[second_mean], &[0.0], EXACT);
    }
    near(&[first_mean], &[0.0], EXACT);
}

#[test]
fn sequential_update_factor() {
    let (inputs, expected) = fixture("sequential_update_factor");
    let order: Vec<u32> = numbers(&inputs["order"]).iter().map(|&agent| agent as u32).collect();
    let schedule = Schedule::Sequential { order: SequentialOrder::Given(order) };
    let column = |name: &str, agent: u32| -> Vec<f64> {
        inputs[name].as_array().unwrap().iter().map(|row| number(&row[agent as usize])).collect()
    };
    let mut factor = Factor::new(2);
    for (place, agent) in schedule.learners(0, 0, 3).unwrap().into_iter().enumerate() {
        let want = &expected["per_agent"][place];
        assert_eq!(agent, number(&want["agent"]) as u32);
        near(&factor.weights(), &numbers(&want["M_in"]), EXACT);
        // The losses that M weighs are those of the fixture in tests/losses/fixtures.rs.
        let (new, old) = (column("logp_new", agent), column("logp_old", agent));
        let mut alone = Factor::new(2);
        alone.update(&new, &old).unwrap();
        near(&alone.weights(), &numbers(&want["ratio"]), EXACT);
        factor.update(&new, &old).unwrap();
    }
    near(&factor.weights(), &numbers(&expected["M_final"]), EXACT);
}

#[test]
fn agent_schedule() {
    let (inputs, expected) = fixture("agent_schedule");
    let (interval, agents) = (number(&inputs["interval"]) as u64, number(&inputs["n_agents"]) as u32);
    for (level, offset) in [("appo", 0), ("tppo", 1)] {
        let schedule = Schedule::Interval { interval, offset };
        for (step, want) in numbers(&inputs["global_steps"]).iter().zip(numbers(&expected[level])) {
            assert_eq!(schedule.learners(*step as u64, 0, agents).unwrap(), [want as u32], "{level} at {step}");
        }
    }
}

#[test]
fn global_step_counter() {
    let (inputs, expected) = fixture("global_step_counter");
    let [length, threads] = ["episode_length", "n_rollout_threads"].map(|name| number(&inputs[name]) as u64);
    let episodes = numbers(&inputs["episodes"]);
    let count = |compat| -> Vec<f64> {
        let algorithm = Algorithm { compat, ..Algorithm::default() };
        let batch = length * threads;
        episodes.iter().map(|&before| algorithm.environment_steps(before as u64 * batch, batch) as f64).collect()
    };
    assert_eq!(count(Compat::MarftV1), numbers(&expected["s"]));
    let ours: Vec<f64> = numbers(&expected["s"]).iter().map(|s| s - (length * threads) as f64).collect();
    assert_eq!(count(Compat::None), ours, "the batch at hand does not count yet");
}

#[test]
fn warmup_gate() {
    let (inputs, expected) = fixture("warmup_gate");
    let warm_up = WarmUp { steps: number(&inputs["warmup_steps"]) as u64 };
    for (step, want) in numbers(&inputs["s"]).iter().zip(expected["policy_update"].as_array().unwrap()) {
        assert_eq!(warm_up.is_over(*step as u64), want.as_bool().unwrap());
    }
}

#[test]
fn grad_accumulation() {
    let (inputs, expected) = fixture("grad_accumulation");
    let chunk = number(&inputs["chunk"]) as usize;
    let items = numbers(&inputs["action_items"]);
    let rows: Vec<u64> = items.chunks(chunk).map(|chunk| chunk.len() as u64).collect();
    let means = items.chunks(chunk).map(|chunk| chunk.iter().sum::<f64>() / chunk.len() as f64);
    let whole = |weights: Vec<f64>, means: Vec<f64>| weights.iter().zip(means).map(|(w, m)| w * m).sum::<f64>();
    let got = whole(chunk_weights(&rows).unwrap(), means.collect());
    near(&[got], &[number(&expected["action_full"])], EXACT);
    near(&[got], &[number(&expected["action_accumulated"])], EXACT);

    let (sums, counts) = (numbers(&inputs["token_sums"]), numbers(&inputs["token_counts"]));
    let tokens: Vec<f64> = counts.chunks(chunk).map(|chunk| chunk.iter().sum()).collect();
    let means: Vec<f64> =
        sums.chunks(chunk).zip(&tokens).map(|(sums, tokens)| sums.iter().sum::<f64>() / tokens).collect();
    let by_token = chunk_weights(&tokens.iter().map(|&t| t as u64).collect::<Vec<_>>()).unwrap();
    let by_row = chunk_weights(&counts.chunks(chunk).map(|c| c.len() as u64).collect::<Vec<_>>()).unwrap();
    near(&[whole(by_token, means.clone())], &[number(&expected["token_full"])], EXACT);
    near(&[whole(by_row, means)], &[number(&expected["token_legacy"])], EXACT);
}

#[test]
fn credit_assignment() {
    let (inputs, expected) = fixture("credit_assignment");
    let length = number(&inputs["seq_len"]) as usize;
    let spans: Vec<(usize, usize)> = inputs["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|span| (number(&span[0]) as usize, number(&span[1]) as usize))
        .collect();
    // One turn per span; what lies before a span belongs to its turn as observation.
    let turns = |start: usize, end: usize, from: usize, step: usize| TurnRecord {
        ids: TurnIds { step: step as u32, ..TurnIds::default() },
        logp: vec![0.0; end - from],
        in_loss: (from..end).map(|i| i >= start).collect(),
        reward: 0.0,
    };
    let mut from = 0;
    let mut records = Vec::new();
    for (step, &(start, end)) in spans.iter().enumerate() {
        records.push(turns(start, end, from, step));
        from = end;
    }
    let empty = Chain::<f64>::from_episodes([EpisodeRecord { turns: records, close: Close::End }]).unwrap();
    assert_eq!(empty.len(), length);
    let place = |paid: &[f64]| {
        let mut chain = empty.clone();
        chain.add_turn_rewards(paid).unwrap();
        chain.reward().to_vec()
    };
    let reward = number(&inputs["R"]);
    near(&place(&last_agent(3, reward).unwrap()), &numbers(&expected["equal"]), EXACT);
    let discounted = step_discount(3, reward, number(&inputs["discount"])).unwrap();
    near(&place(&discounted), &numbers(&expected["step_discount"]), EXACT);
    let given: Vec<Option<f64>> = numbers(&inputs["per_step"]).into_iter().map(Some).collect();
    near(&place(&per_step(&given, 0.0).unwrap().0), &numbers(&expected["per_step"]), EXACT);
}

/// The score of a team of which some agents answered is the environment's affair; here it is paid to the last agent.
#[test]
fn math_env_reward() {
    let (inputs, expected) = fixture("math_env_reward");
    let rows = expected.as_array().expect("rows");
    assert_eq!(rows.len(), 12);
    for row in rows {
        let (correct, answers) = (numbers(&row["correct"]), numbers(&row["with_answer"]));
        let right: f64 = correct.iter().zip(&answers).map(|(right, answers)| right * answers).sum();
        let score = right / answers.iter().sum::<f64>();
        near(&[score], &[number(&row["score"])], 0.0);
        near(&last_agent(correct.len(), score).expect("a team"), &numbers(&row["rewards"]), 0.0);
        let done = score > 0.0 || number(&row["step"]) >= number(&inputs["horizon"]);
        assert_eq!(row["done"].as_bool(), Some(done));
    }
}

/// What half precision loses of an update, and that weights and moments in f32 lose nothing of it.
#[test]
fn fp16_update_loss() {
    use marft_torch::{AdamWOptions, fused_adamw};
    use tch::{Device, Kind, Tensor};
    let (inputs, expected) = fixture("fp16_update_loss");
    let (rate, bound) = (number(&inputs["lr"]), number(&inputs["d_in"]).sqrt().recip());
    tch::manual_seed(1);
    let weight = (Tensor::rand([200_000], (Kind::Float, Device::Cpu)) * 2.0 - 1.0) * bound;
    let changed =
        |from: &Tensor, to: &Tensor| from.ne_tensor(to).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
    let narrow = weight.to_kind(Kind::Half);
    let moved = (&narrow.to_kind(Kind::Float) + rate).to_kind(Kind::Half);
    near(&[changed(&narrow, &moved)], &[number(&expected["fraction_changed"])], 0.01);

    let options = AdamWOptions { lr: rate, beta1: 0.9, beta2: 0.999, weight_decay: 0.0, eps: 1e-8 };
    let want = numbers(&expected["adam_v_fp16"]);
    for (slope, in_half) in numbers(&inputs["grads"]).into_iter().zip(want) {
        let master = weight.copy();
        let state = || weight.zeros_like();
        let (first, second, steps) = (state(), state(), Tensor::from(0.0f32));
        let gradient = weight.full_like(slope);
        let lists = [&master, &gradient, &first, &second, &steps].map(|tensor| vec![tensor.shallow_clone()]);
        let [master_list, gradients, firsts, seconds, counts] = &lists;
        fused_adamw(master_list, gradients, firsts, seconds, counts, options).expect("one step");
        assert_eq!(changed(&weight, &master), 1.0, "an update by {rate} is lost");
        let moment = second.double_value(&[0]);
        near(&[moment], &[0.001 * slope * slope], 1e-6 * moment);
        near(&[Tensor::from(moment).to_kind(Kind::Half).double_value(&[])], &[in_half], 0.0);
    }
}
