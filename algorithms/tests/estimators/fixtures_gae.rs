//! The GAE fixtures: action level, token level, and the masked sequence.

use marft_algorithms::advantage::gae::{Gae, GaeConfig, PerBorder, gae};
use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord, Real, TurnRecord};
use serde_json::Value;

use super::build::{chain, episode, narrow};
use super::fixtures::{EXACT, SINGLE, fixture, near, number, numbers};

fn config(inputs: &Value, cut_after_reset: bool) -> GaeConfig {
    let flat = |name: &str| PerBorder::flat(number(&inputs[name]));
    GaeConfig { gamma: flat("gamma"), lambda: flat("lam"), cut_after_reset }
}

fn wide<F: Real>(numbers: &[F]) -> Vec<f64> {
    numbers.iter().map(|x| x.wide()).collect()
}

/// f64 and f32 against one expectation.
fn check(episodes: &[EpisodeRecord<f64>], values: &[f64], config: &GaeConfig, advantages: &[f64], returns: &[f64]) {
    let got = gae(&chain(episodes.to_vec(), values.to_vec()), config).expect("a proper chain");
    near(&got.advantage, advantages, EXACT);
    near(&got.returns, returns, EXACT);
    let got: Gae<f32> = gae(&narrow(episodes, values), config).expect("a proper chain");
    near(&wide(&got.advantage), advantages, SINGLE);
    near(&wide(&got.returns), returns, SINGLE);
}

/// `r[t][b][i]` with one environment, cut into episodes where the mask after a step is 0.
fn action_episodes(inputs: &Value) -> (Vec<EpisodeRecord<f64>>, Vec<f64>) {
    let steps: Vec<Vec<f64>> = inputs["rewards"].as_array().expect("a list").iter().map(numbers).collect();
    let masks: Vec<f64> = inputs["masks"].as_array().expect("a list").iter().map(|mask| numbers(mask)[0]).collect();
    let values = numbers(&inputs["values"]);
    let agents = steps[0].len();
    let mut episodes = Vec::new();
    let mut open: Vec<Vec<f64>> = Vec::new();
    for (t, rewards) in steps.iter().enumerate() {
        open.push(rewards.clone());
        if masks[t + 1] == 0.0 {
            let lens = vec![vec![1; agents]; open.len()];
            episodes.push(episode(episodes.len() as u32, &lens, &open, Close::End));
            open.clear();
        }
    }
    assert!(open.is_empty(), "these fixtures end with their episode");
    (episodes, values[..steps.len() * agents].to_vec())
}

#[test]
fn action_level() {
    for (name, legacy) in
        [("gae_action_two_steps_no_reset_legacy", true), ("gae_action_two_steps_no_reset_correct", false)]
    {
        let (inputs, expected) = fixture(name);
        let (episodes, values) = action_episodes(&inputs);
        let [advantages, returns] = ["advantages", "returns"].map(|key| numbers(&expected[key]));
        check(&episodes, &values, &config(&inputs, legacy), &advantages, &returns);
    }
}

#[test]
fn action_level_after_a_reset() {
    let (inputs, expected) = fixture("gae_action_reset_between_steps");
    let (episodes, values) = action_episodes(&inputs);
    assert_eq!(episodes.len(), 2);
    for (prefix, legacy) in [("legacy", true), ("correct", false)] {
        let [advantages, returns] = ["advantages", "returns"].map(|key| numbers(&expected[format!("{prefix}_{key}")]));
        check(&episodes, &values, &config(&inputs, legacy), &advantages, &returns);
    }
}

#[test]
fn token_level() {
    for name in ["gae_token_two_agents_3_2_tokens_terminal", "gae_token_two_steps_bootstrapped"] {
        let (inputs, expected) = fixture(name);
        let lens: Vec<Vec<usize>> = inputs["lens"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| numbers(step).into_iter().map(|len| len as usize).collect())
            .collect();
        let rewards: Vec<Vec<f64>> = inputs["rewards"].as_array().unwrap().iter().map(numbers).collect();
        let ends = numbers(&inputs["masks"])[lens.len()] == 0.0;
        let close = if ends { Close::End } else { Close::Truncated { bootstrap: number(&inputs["bootstrap"]) } };
        let episodes = [episode(0, &lens, &rewards, close)];
        let cases = expected.as_object().unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases.values() {
            let [gamma, lambda] = ["g", "lam"].map(|kind| {
                let at = |border: &str| number(&case["params"][format!("{kind}_{border}")]);
                PerBorder { token: at("tok"), agent: at("agent"), step: at("step") }
            });
            let config = GaeConfig { gamma, lambda, cut_after_reset: false };
            let [advantages, returns] = ["advantages", "returns"].map(|key| numbers(&case[key]));
            check(&episodes, &numbers(&inputs["values"]), &config, &advantages, &returns);
        }
    }
}

#[test]
fn token_level_equals_action_level_at_length_one() {
    let (inputs, expected) = fixture("gae_token_equals_action_when_len_1");
    let flat = GaeConfig { gamma: PerBorder::flat(0.9), lambda: PerBorder::flat(0.8), cut_after_reset: false };
    let rewards = [vec![0.0, 0.0], vec![0.0, 1.0]];
    let values = numbers(&inputs["values"]);
    let tokens = chain(vec![episode(0, &vec![vec![1; 2]; 2], &rewards, Close::End)], values);
    near(&gae(&tokens, &flat).unwrap().advantage, &numbers(&expected["advantages"]), EXACT);
    near(&gae(&tokens.actions(), &flat).unwrap().advantage, &numbers(&expected["advantages"]), EXACT);
}

#[test]
fn masked_sequence() {
    let (inputs, expected) = fixture("gae_masked_sequence");
    let (rewards, values) = (numbers(&inputs["rewards"]), numbers(&inputs["values"]));
    let token_mask = numbers(&inputs["token_mask"]);
    let n = values.len();
    // Positions predict the next token, so the mask is shifted to the left by one; the last position predicts nothing.
    let in_loss: Vec<bool> = (0..n).map(|t| token_mask[(t + 1) % n] > 0.0).collect();
    let turn = TurnRecord { logp: vec![0.0; n], in_loss: in_loss.clone(), ..TurnRecord::default() };
    let mut chain = Chain::<f64>::from_episodes([EpisodeRecord { turns: vec![turn], close: Close::End }]).unwrap();
    chain.set_rewards(rewards).unwrap();
    chain.set_values(values).unwrap();
    for (key, gamma, lambda) in [("gamma1.00_lam1.00", 1.0, 1.0), ("gamma0.99_lam0.95", 0.99, 0.95)] {
        let config =
            GaeConfig { gamma: PerBorder::flat(gamma), lambda: PerBorder::flat(lambda), cut_after_reset: false };
        let got = gae(&chain, &config).unwrap();
        let [advantages, returns] = ["advantages", "returns"].map(|name| numbers(&expected[key][name]));
        for t in 0..n {
            if in_loss[t] {
                near(&[got.advantage[t], got.returns[t]], &[advantages[t], returns[t]], EXACT);
            } else {
                // The reference leaves its running numbers at skipped positions; ours has nothing there.
                assert_eq!((got.advantage[t], got.returns[t]), (0.0, 0.0));
            }
        }
    }
}
