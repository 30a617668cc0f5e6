//! Rewards on single tokens, from a term to what is learnt.

use serde::Deserialize;

use super::*;
use crate::episode::SpanKind;
use crate::reward::{Evidence, RewardFault, RewardTerm, Spoken, TokenReward};
use crate::settings::Kind;
use crate::settings::file::load_with;

/// Pays one point: on the first token of the turn, or on the turn.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Point {
    on_first: bool,
}

impl RewardTerm for Point {
    fn score(&self, _: &Evidence<'_>) -> Result<f64, RewardFault> {
        Ok(f64::from(!self.on_first))
    }

    fn token_rewards(&self, _: &Evidence<'_>, _: &Spoken<'_>) -> Result<Vec<TokenReward>, RewardFault> {
        Ok(self.on_first.then_some(TokenReward { token: 0, reward: 1.0 }).into_iter().collect())
    }
}

/// A step, and the adapter of the second agent after it.
fn step(on_first: bool) -> (StepReport, f64, Vec<u8>) {
    let home = Home::new();
    let term = format!("kind = \"point\"\non_first = {on_first}\nof = \"second\"\nattach = \"turn\"\nweight = 3.0");
    home.write("run.toml", &RUN.replace("kind = \"contains\"\ngold = \"answer\"", &term));
    let registry = Registry::default().with_reward("point", Kind::read::<Point>);
    let loaded = load_with(&home.path("run.toml"), &[], &registry)
        .unwrap_or_else(|report| panic!("{}", report.render(false, 100)));
    let mut trainer = Trainer::new(loaded, registry).unwrap();
    let report = trainer.step().unwrap().unwrap();
    let paid = Measures::of(&report, &trainer).get("reward/agent/second").unwrap();
    let folder = home.path("saved");
    std::fs::create_dir(&folder).unwrap();
    trainer.save(&folder).unwrap();
    let adapter = std::fs::read(folder.join("second/adapter_model.safetensors")).unwrap();
    (report, paid, adapter)
}

#[test]
fn a_reward_on_a_token_is_recorded_logged_and_learnt_from_where_it_stands() {
    let (on_token, paid_token, learnt_token) = step(true);
    let (on_turn, paid_turn, learnt_turn) = step(false);
    for (one, other) in on_token.records.iter().zip(&on_turn.records) {
        let (token, turn) = (one.reward.as_ref().unwrap(), other.reward.as_ref().unwrap());
        assert_eq!((token.total, turn.total, token.terms == turn.terms), (3.0, 3.0, true));
        assert_eq!((turn.token.len(), turn.turn[0].1, token.turn[0].1), (0, 3.0, 0.0));
        let [(segment, position, reward)] = token.token[..] else { panic!("one token: {:?}", token.token) };
        let (first, _) = one.segments[segment].placed().find(|(_, span)| span.kind != SpanKind::Observed).unwrap();
        assert_eq!((&*one.segments[segment].agent, position, reward), ("second", first, 3.0));
    }
    assert_eq!((paid_token, paid_turn), (3.0, 3.0));
    assert!(learnt_token != learnt_turn, "later tokens had no part in it");
}
