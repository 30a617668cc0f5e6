//! Baselines: what a team is compared with is a setting, not another program.

use super::*;

fn step(home: &Home, set: &[(&str, &str)]) -> (Trainer, StepReport) {
    let mut trainer = home.trainer(set);
    let report = trainer.step().unwrap().unwrap();
    (trainer, report)
}

#[test]
fn every_baseline_is_a_setting() {
    let home = Home::new();
    let untrained = home.trainer(&[]).evaluate().unwrap().0.unwrap();
    assert_eq!((untrained.step, untrained.faults), (0, 0));

    let (team, report) = step(&home, &[]);
    assert_eq!(report.learnt.unwrap().policies.len(), 2);
    let spoken = |records: &[EpisodeRecord]| {
        let most =
            |label: &str| records.iter().flat_map(|r| &r.turns).filter(|t| &*t.agent == label).map(|t| t.tokens).max();
        (most("first"), most("second"))
    };
    assert_eq!(spoken(&report.records), (Some(6), Some(6)));
    assert!(report.records.iter().all(|record| record.dependencies == [("first".into(), "second".into())]));
    assert_eq!(team.roster().cohorts().len(), 1);

    let (shared, report) = step(&home, &[("model.weights", "shared")]);
    assert_eq!((shared.roster().weights().len(), report.learnt.unwrap().policies.len()), (1, 1));

    let (_, report) = step(&home, &[("model.frozen", "first")]);
    assert_eq!(report.learnt.unwrap().policies.len(), 1, "one agent learns beside a frozen one");

    for schedule in ["sequential", "sequential-random", "interval"] {
        let (_, report) = step(&home, &[("algorithm.schedule", schedule)]);
        let learnt = report.learnt.unwrap().policies.values().filter(|policy| policy.updates > 0).count();
        assert_eq!(learnt, if schedule == "interval" { 1 } else { 2 }, "{schedule}");
    }
}

#[test]
fn independent_learners_hear_nobody_and_are_linked_to_nobody() {
    let home = Home::new();
    home.write("team.toml", &TEAM.replace("sees = [\"task\", \"first\"]", "sees = [\"task\"]"));
    let (trainer, report) = step(&home, &[("algorithm.chain", "agent"), ("model.critic.per_agent", "true")]);
    assert!(report.records.iter().all(|record| record.dependencies.is_empty() && record.turns.len() == 2));
    let cohort = &trainer.roster().cohorts()[0];
    assert_eq!((cohort.players.len(), cohort.critic.map(|(_, per_agent)| per_agent)), (2, Some(true)));
    assert!(report.learnt.unwrap().policies.values().all(|policy| policy.updates == 1));
}

#[test]
fn a_single_agent_may_say_as_much_as_the_team() {
    let home = Home::new();
    let alone = "[team]\nname = \"alone\"\n\n[agents.first]\nrole = \"F\"\nsampling = { max_tokens = 12 }\n";
    home.write("team.toml", alone);
    let (trainer, report) = step(&home, &[]);
    assert_eq!(trainer.roster().players().len(), 1);
    let most = report.records.iter().flat_map(|record| &record.turns).map(|turn| turn.tokens).max();
    assert_eq!(most, Some(12));
}
