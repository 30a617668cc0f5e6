//! MARFT's first release as a setting, and the settings of actions and orders that it and its relatives have.

use super::*;
use crate::episode::FaultKind;

fn step(home: &Home, set: &[(&str, &str)]) -> crate::learn::LearnReport {
    let report = home.trainer(set).step().unwrap().unwrap();
    assert!(report.records.iter().all(|record| record.faults.is_empty()), "{:?}", FaultKind::ALL);
    report.learnt.unwrap()
}

/// A critic that says 0 everywhere would make all advantages that are not 0 the same, and their deviation 0.
#[test]
fn the_first_step_of_the_first_release_is_sound() {
    let home = Home::new();
    for preset in ["marft-v1", "marft-v1-token"] {
        let learnt = step(&home, &[("algorithm.preset", preset)]);
        assert!(learnt.advantage_std > 0.0 && learnt.advantage_max < 10.0, "{preset}: {learnt:?}");
        assert_eq!((learnt.bad_updates, learnt.critics[0].updates), (0, 20), "{preset}: five times four mini-batches");
        assert!(learnt.critics[0].loss > 0.0 && learnt.critics[0].loss < 10.0, "{preset}: {learnt:?}");
        assert!(learnt.policies.values().all(|policy| policy.updates > 0), "{preset}: {learnt:?}");
    }
}

/// The six steps of the batch at hand count: after them it is the second agent's turn.
#[test]
fn the_first_release_counts_the_batch_at_hand_and_its_critic_hears_all() {
    let home = Home::new();
    for (compat, learner) in [("none", 0), ("marft-v1", 1)] {
        let set =
            [("algorithm.schedule", "interval"), ("algorithm.update_interval", "6"), ("algorithm.compat", compat)];
        let learnt = step(&home, &set);
        let updates: Vec<u32> = learnt.policies.values().map(|policy| policy.updates).collect();
        let of =
            |policy: u32| learnt.policies.get(&marft_agents::generate::PolicyId(policy)).map_or(0, |own| own.updates);
        assert!(of(learner) == 1 && of(1 - learner) == 0, "{compat}: {updates:?}");
        assert_eq!(learnt.critics[0].updates, 1, "{compat}");
    }
}

#[test]
fn ratios_of_actions_begin_at_one_however_they_are_normalised() {
    let home = Home::new();
    for mode in ["sum", "token", "word"] {
        for schedule in ["concurrent", "sequential"] {
            let set = [
                ("algorithm.preset", "marft-a"),
                ("algorithm.normalization_mode", mode),
                ("algorithm.schedule", schedule),
            ];
            let learnt = step(&home, &set);
            for policy in learnt.policies.values() {
                assert!((policy.ratio - 1.0).abs() < 1e-3 && policy.approx_kl < 1e-4, "{mode}: {learnt:?}");
                assert_eq!(policy.updates, 1, "{mode} {schedule}");
            }
        }
    }
}

#[test]
fn a_given_order_is_another_update_than_that_of_the_team() {
    let home = Home::new();
    home.often_right(true);
    let norms = |order: &str| {
        let set =
            [("algorithm.schedule", "sequential"), ("algorithm.order", order), ("algorithm.learning_rate", "0.1")];
        let learnt = step(&home, &set);
        assert!(learnt.policies.values().all(|policy| policy.updates == 1));
        learnt.policies.values().map(|policy| policy.grad_norm).collect::<Vec<f64>>()
    };
    let (team, other) = (norms("[\"first\", \"second\"]"), norms("[\"second\", \"first\"]"));
    assert!(team[0] != other[0] && team[1] != other[1], "each is corrected for the one before it: {team:?} {other:?}");
}

#[test]
fn advantages_may_be_weighed_by_hesitation_and_by_how_many_passed() {
    let home = Home::new();
    home.often_right(true);
    let largest = |set: &[(&str, &str)]| step(&home, set).advantage_max;
    let plain = largest(&[]);
    let weighed = largest(&[("algorithm.rescale", "entropy"), ("algorithm.rescale_high", "0.9")]);
    assert!(weighed < plain && weighed >= 0.5 * plain, "{weighed} of {plain}");
    home.often_right(false);
    let grpo = [("algorithm.preset", "grpo"), ("algorithm.group_size", "4"), ("rollout.tasks", "24")];
    let weights =
        [("algorithm.rescale", "pass-rate"), ("algorithm.rescale_low", "0.0"), ("algorithm.rescale_high", "0.0")];
    assert!(largest(&grpo) > 0.0);
    assert_eq!(largest(&[grpo.as_slice(), &weights].concat()), 0.0);
}
