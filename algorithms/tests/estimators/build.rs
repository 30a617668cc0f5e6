//! Chains for tests, in few words.

use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord, TurnIds, TurnRecord};

/// A turn of `tokens` sampled tokens with its reward at the end.
pub(crate) fn turn(ids: TurnIds, tokens: usize, reward: f64) -> TurnRecord<f64> {
    TurnRecord { ids, logp: vec![-0.5; tokens], in_loss: vec![true; tokens], reward }
}

/// One episode: `lens[step][agent]` tokens, `rewards[step][agent]`.
pub(crate) fn episode(
    episode: u32,
    lens: &[Vec<usize>],
    rewards: &[Vec<f64>],
    close: Close<f64>,
) -> EpisodeRecord<f64> {
    let mut turns = Vec::new();
    for (step, (lens, rewards)) in lens.iter().zip(rewards).enumerate() {
        for (agent, (&tokens, &reward)) in lens.iter().zip(rewards).enumerate() {
            let ids = TurnIds { episode, step: step as u32, agent: agent as u32, ..TurnIds::default() };
            turns.push(turn(ids, tokens, reward));
        }
    }
    EpisodeRecord { turns, close }
}

/// A chain with values.
pub(crate) fn chain(episodes: Vec<EpisodeRecord<f64>>, values: Vec<f64>) -> Chain<f64> {
    let mut chain = Chain::from_episodes(episodes).expect("the test builds a proper chain");
    chain.set_values(values).expect("the test gives one value per element");
    chain
}

/// The same chain in f32.
pub(crate) fn narrow(episodes: &[EpisodeRecord<f64>], values: &[f64]) -> Chain<f32> {
    let turn = |turn: &TurnRecord<f64>| TurnRecord {
        ids: turn.ids,
        logp: turn.logp.iter().map(|&x| x as f32).collect(),
        in_loss: turn.in_loss.clone(),
        reward: turn.reward as f32,
    };
    let close = |close| match close {
        Close::End => Close::End,
        Close::Truncated { bootstrap } => Close::Truncated { bootstrap: bootstrap as f32 },
    };
    let record = |episode: &EpisodeRecord<f64>| EpisodeRecord {
        turns: episode.turns.iter().map(turn).collect(),
        close: close(episode.close),
    };
    let mut chain = Chain::from_episodes(episodes.iter().map(record)).expect("as in f64");
    chain.set_values(values.iter().map(|&v| v as f32).collect()).expect("as in f64");
    chain
}
