//! Where rewards land: on tokens, and on the step in which the judged answer was given.

use super::*;
use crate::environment::{Environment, EnvironmentFault, Outcome, Scene, Standing};
use crate::reward::{Evidence, RewardFault, Spoken, TokenReward};
use crate::task::Task;

const SOLO: &str = "[team]\nname = \"solo\"\n[agents.solver]\nrole = \"Solve.\"\npolicy = \"p\"\n";

/// Pays for every `e`, on another thread where it is told.
#[derive(Debug)]
struct Letter {
    beside: bool,
}

impl RewardTerm for Letter {
    fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
        Ok(f64::from(evidence.answer == Some("yes")))
    }

    fn token_rewards(&self, _: &Evidence<'_>, spoken: &Spoken<'_>) -> Result<Vec<TokenReward>, RewardFault> {
        assert_eq!(spoken.tokens().collect::<String>(), spoken.text);
        let found = spoken.text.match_indices('e').filter_map(|(byte, _)| spoken.token_at(byte));
        Ok(found.map(|token| TokenReward { token, reward: 0.5 }).collect())
    }

    fn blocking(&self) -> bool {
        self.beside
    }
}

fn reward(term: impl RewardTerm + 'static, of: Option<&str>, attach: Attach) -> Composite {
    let (name, gold, of) = ("letter".to_owned(), "answer".to_owned(), of.map(str::to_owned));
    let spec = TermSpec { name, term: Box::new(term), weight: 2.0, gate: None, of, gold, attach };
    Composite::new(vec![spec]).unwrap()
}

#[test]
fn a_term_pays_the_tokens_that_completed_what_it_pays_for() {
    for (beside, of) in [(false, None), (true, None), (false, Some("keeper")), (true, Some("keeper"))] {
        let voice = letters(None, |question, _| if &*question.agent == "keeper" { "eyes" } else { "e?" }.to_owned());
        let reward = reward(Letter { beside }, of, Attach::Episode);
        let record = play(EngineConfig { reward, ..world(DUO, voice) }, [opening(0)]).remove(0);
        let streams = record.reward.unwrap();
        assert_eq!((streams.total, streams.episode, streams.terms[0].raw), (2.0, 0.0, 1.0));
        let paid: Vec<_> = streams
            .token
            .iter()
            .map(|(segment, at, reward)| {
                let segment = &record.segments[*segment];
                (segment.agent.as_str(), text_of(&segment.ids[at - 1..=*at]), *reward)
            })
            .collect();
        assert_eq!(paid, [("keeper", "]e".to_owned(), 1.0), ("keeper", "ye".to_owned(), 1.0)]);
    }
}

#[test]
fn words_without_tokens_are_paid_as_a_whole() {
    let reward = reward(Letter { beside: false }, None, Attach::Episode);
    let record = play(EngineConfig { reward, ..world(SOLO, Scripted::words(|_| "yes".to_owned())) }, [asked(0, "q")]);
    let streams = record[0].reward.as_ref().unwrap();
    assert_eq!((streams.total, streams.episode, streams.token.len()), (2.0, 2.0, 0));
}

/// Asks three times, and pays for the second step itself.
#[derive(Debug, Default)]
struct Thrice(u32);

impl Environment for Thrice {
    fn reset(&mut self, _task: &Task, _seed: Seed) -> Result<Scene, EnvironmentFault> {
        Ok(Scene { shared: marft_topologies::turns::Task::text("go"), own: vec![] })
    }

    fn step(&mut self, _output: Option<&marft_topologies::turns::Message>) -> Result<Outcome, EnvironmentFault> {
        self.0 += 1;
        let again = Scene { shared: marft_topologies::turns::Task::text("again"), own: vec![] };
        let standing = if self.0 == 3 { Standing::Done { won: None } } else { Standing::Open(again) };
        let rewards = if self.0 == 2 { vec![("second".to_owned(), 0.25)] } else { vec![] };
        Ok(Outcome { standing, rewards })
    }
}

/// The chief asks the helper once, and answers alone from then on.
const ROUTED: &str = r#"
[team]
name = "routed"
output = ["chief"]

[agents.chief]
role = "Lead."
policy = "p"
output = { next = "<next>(.*?)</next>" }
routes = { to = ["helper"], max_steps = 2, done = ["yes"] }

[agents.helper]
role = "Help."
policy = "p"
sees = []
"#;

#[test]
fn a_team_is_paid_at_the_step_of_the_judged_answer() {
    for (of, team) in [(Some("helper"), [2.0, 0.25, 0.0]), (Some("chief.next"), [0.0, 0.25, 2.0])] {
        let says = |question: &Question| match (&*question.agent, question.turn) {
            ("helper", _) => "yes",
            (_, 0) => "<next>helper</next>",
            _ => "<next>yes</next>",
        };
        let voice = letters(None, move |question, _| says(question).to_owned());
        let reward = reward(ExactMatch::default(), of, Attach::Team);
        let opening = Opening { environment: Box::new(Thrice::default()), ..asked(0, "q") };
        let record = play(EngineConfig { reward, ..world(ROUTED, voice) }, [opening]).remove(0);
        let streams = record.reward.unwrap();
        assert_eq!((streams.team.as_slice(), streams.episode, streams.total), (&team[..], 0.0, 2.25), "{of:?}");
    }
}
