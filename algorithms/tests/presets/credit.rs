//! Who is credited for what, through the presets: by role or by team, by turn or by sum, and with noise.

use marft_algorithms::loss::PolicyBatch;
use marft_algorithms::preset::Algorithm;
use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord, TurnIds, TurnRecord};
use serde_json::{Value, json};

use super::resolve;

/// Episodes of one task in which agent k speaks once, in order, `tokens` tokens, and is paid `rewards[k]`.
fn spoken(rewards: &[Vec<f64>], tokens: usize) -> Chain<f64> {
    let record = |(episode, rewards): (usize, &Vec<f64>)| {
        let turn = |(agent, &reward): (usize, &f64)| {
            let (episode, agent) = (episode as u32, agent as u32);
            let ids = TurnIds { episode, agent, role: agent, policy: agent, ..TurnIds::default() };
            TurnRecord { ids, logp: vec![-0.5; tokens], in_loss: vec![true; tokens], reward }
        };
        EpisodeRecord { turns: rewards.iter().enumerate().map(turn).collect(), close: Close::End }
    };
    Chain::from_episodes(rewards.iter().enumerate().map(record)).expect("a proper chain")
}

fn advantages(settings: Value, chain: &Chain<f64>) -> Vec<f64> {
    let algorithm: Algorithm = resolve(settings).expect("a preset");
    algorithm.estimate(chain, None, None).expect("an estimate").advantage
}

/// Two roles; what role 0 is paid never varies. Paid by role it has no gradient at all, paid as a team it has.
#[test]
fn a_role_whose_reward_never_varies_learns_only_from_the_teams() {
    let chain = spoken(&[vec![0.5, 1.0], vec![0.5, 0.0]], 2);
    let gradient = |settings: Value| -> Vec<f64> {
        let algorithm = resolve(settings.clone()).expect("a preset");
        let advantage = advantages(settings, &chain);
        let new = tch::Tensor::from_slice(chain.logp()).set_requires_grad(true);
        let lengths = chain.lengths();
        let batch = PolicyBatch::new(chain.logp(), &advantage, chain.in_loss(), &lengths);
        algorithm.policy_loss(&new, &batch, None).expect("a loss").loss.backward();
        Vec::try_from(new.grad()).expect("a column")
    };
    // Turns in order: role 0 and 1 of the first episode, then of the second; two tokens each.
    let by_role = gradient(json!({ "preset": "at-grpo" }));
    assert_eq!([&by_role[..2], &by_role[4..6]], [&[0.0; 2], &[0.0; 2]]);
    assert!(by_role[2] < -0.05 && by_role[6] > 0.05, "{by_role:?}");
    for team in ["grpo", "dr-mas", "magrpo"] {
        let by_team = gradient(json!({ "preset": team }));
        assert!(by_team[0] < -0.05 && by_team[4] > 0.05, "{team}: {by_team:?}");
    }
}

/// Two agents of which one is paid: on chains of their own, the other learns nothing, and the paid one is compared with itself
/// alone.
#[test]
fn on_chains_of_its_own_each_agent_is_compared_with_itself() {
    let chain = spoken(&[vec![0.0, 1.0], vec![0.0, 0.0], vec![0.0, 0.5]], 1);
    let (mean, deviation) = (0.5, 0.5);
    let grpo = json!({ "preset": "grpo", "chain": "agent" });
    let near = |got: Vec<f64>, want: [f64; 6]| {
        assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-12), "{got:?} instead of {want:?}");
    };
    let own = |reward: f64| (reward - mean) / (deviation + 1e-6);
    near(advantages(grpo.clone(), &chain), [0.0, own(1.0), 0.0, own(0.0), 0.0, own(0.5)]);
    near(advantages(json!({ "preset": "rloo", "chain": "agent" }), &chain), [0.0, 0.75, 0.0, -0.75, 0.0, 0.0]);
    let uniform = resolve(grpo).expect("a preset").estimate(&chain, None, None).expect("an estimate").uniform_groups;
    assert_eq!(uniform, Some(0.5), "the group of the one that is not paid");
}

/// MAGRPO pays a joint action once: on chains of their own that is each agent's own, and nobody's reward is lost.
#[test]
fn magrpo_on_chains_of_their_own_keeps_every_agents_reward() {
    let chain = spoken(&[vec![1.0, 10.0], vec![0.0, 30.0]], 1);
    assert_eq!(advantages(json!({ "preset": "magrpo", "chain": "agent" }), &chain), [0.5, -10.0, -0.5, 10.0]);
    assert_eq!(advantages(json!({ "preset": "magrpo" }), &chain), [-9.5, -9.5, 9.5, 9.5]);
}

/// Group estimators see the sum of an episode's rewards; with a critic it matters where they fall.
#[test]
fn dense_rewards_are_partial_credit_in_the_sum_unless_there_is_a_critic() {
    let with_values = |rewards: &[Vec<f64>]| {
        let mut chain = spoken(rewards, 1);
        chain.set_values(vec![0.25; chain.len()]).expect("a value each");
        chain
    };
    let sparse = with_values(&[vec![0.0, 1.0], vec![0.0, 0.0]]);
    let dense = with_values(&[vec![0.75, 0.25], vec![0.0, 0.0]]);
    for preset in ["grpo", "rloo", "dr-grpo", "reinforce++-baseline", "dr-mas"] {
        let settings = json!({ "preset": preset });
        assert_eq!(advantages(settings.clone(), &sparse), advantages(settings, &dense), "{preset}");
    }
    let unscaled = json!({ "normalise_mean": "none", "normalise_scale": "none", "lam": 1.0 });
    // R - V from the turn on: 1 - .25 both times; .25 - .25 where .75 came before.
    assert_eq!(advantages(unscaled.clone(), &sparse), [0.75, 0.75, -0.25, -0.25]);
    assert_eq!(advantages(unscaled, &dense), [0.75, 0.0, -0.25, -0.25]);
}

/// An answer cut by a limit may be left out of the loss. It was sampled all the same, so its reward stays in its group's
/// mean: 1/3 of three rewards, and not 1/2 of the two that are trained.
#[test]
fn an_answer_out_of_the_loss_still_counts_in_its_group() {
    let record = |(episode, (reward, kept)): (u32, (f64, bool))| {
        let ids = TurnIds { episode, ..TurnIds::default() };
        let turn = TurnRecord { ids, logp: vec![-0.5; 2], in_loss: vec![kept; 2], reward };
        EpisodeRecord { turns: vec![turn], close: Close::End }
    };
    let episodes = [(0, (1.0, true)), (1, (0.0, true)), (2, (0.0, false))];
    let chain = Chain::<f64>::from_episodes(episodes.map(record)).expect("a proper chain");
    let got = advantages(json!({ "preset": "dr-grpo" }), &chain);
    let third = 1.0 / 3.0;
    for (got, want) in got.iter().zip([2.0 * third, 2.0 * third, -third, -third, 0.0, 0.0]) {
        assert!((got - want).abs() < 1e-15, "{got} instead of {want}");
    }
}

/// Three agents in a chain; one token of agent 0 decides, all else is noise, in the critic too. Whatever the batch, agent
/// 0's tokens up to that one must be credited when it was right, and blamed when it was wrong.
#[test]
fn the_deciding_token_is_credited_with_the_right_sign() {
    const TOKENS: usize = 4;
    const DECIDES: usize = 2;
    let mut state = 0x5eed_u64;
    // SplitMix64, in [0, 1).
    let mut draw = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let batches = 300;
    let mut right = 0;
    for _ in 0..batches {
        let fates: Vec<bool> = (0..32).map(|_| draw() < 0.5).collect();
        let paid: Vec<Vec<f64>> = fates.iter().map(|&fate| vec![0.0, 0.0, f64::from(u8::from(fate))]).collect();
        let mut chain = spoken(&paid, TOKENS);
        // The critic knows nothing before the deciding token and half of it after, and is off by up to .3 throughout.
        let values = fates.iter().flat_map(|&fate| {
            (0..3 * TOKENS).map(move |at| if at <= DECIDES { 0.5 } else { 0.25 + 0.5 * f64::from(u8::from(fate)) })
        });
        let values = values.map(|value| value + 0.6 * (draw() - 0.5)).collect();
        chain.set_values(values).expect("a value each");
        let advantage = advantages(json!({ "preset": "marft-t" }), &chain);
        let mean = |fate: bool| {
            let of = advantage.chunks(3 * TOKENS).zip(&fates).filter(|(_, own)| **own == fate);
            let early: Vec<f64> = of.flat_map(|(episode, _)| &episode[..=DECIDES]).copied().collect();
            early.iter().sum::<f64>() / early.len() as f64
        };
        right += usize::from(mean(true) > 0.0 && mean(false) < 0.0);
    }
    assert!(right * 100 >= batches * 99, "{right} of {batches} batches");
}
