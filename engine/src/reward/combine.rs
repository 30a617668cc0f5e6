//! Terms to one reward: `sum of weight × score`, each term logged raw and weighted, a term counted only when its gate is
//! open.

use serde::{Deserialize, Serialize};

use super::{Evidence, RewardFault, RewardTerm, Spoken, TokenReward};

/// Where a term's reward lands in the trajectory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attach {
    /// On the last token of the turn that is judged.
    Turn,
    /// On the agent that spoke, at the end of its last turn of the episode.
    Agent,
    /// On the team, at the end of the step.
    Team,
    /// On the team, at the end of the episode.
    #[default]
    Episode,
}

/// A term counts only while another term's raw score is above a bound: "no format, no reward".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// The name of a term that stands earlier in the list.
    pub term: String,
    /// The raw score it must exceed; 0 by default.
    #[serde(default)]
    pub above: f64,
}

/// One named term with its place in the sum.
#[derive(Debug)]
pub struct TermSpec {
    /// The name it is logged under.
    pub name: String,
    /// What it computes.
    pub term: Box<dyn RewardTerm>,
    /// Its factor in the sum.
    pub weight: f64,
    /// What must hold for it to count.
    pub gate: Option<Gate>,
    /// The agent, or `agent.field`, whose text it judges; the team's answer where empty.
    pub of: Option<String>,
    /// The column of the task's row with the gold answers.
    pub gold: String,
    /// Where its reward lands.
    pub attach: Attach,
}

/// What one term gave.
#[derive(Debug, Clone, PartialEq)]
pub struct TermScore {
    /// The score before weight and gate, with what single tokens earned.
    pub raw: f64,
    /// What enters the sum: `weight × raw`, or 0 behind a closed gate.
    pub weighted: f64,
    /// The part of `weighted` that lands where the term attaches.
    pub whole: f64,
    /// The rest of it, on single tokens.
    pub tokens: Vec<TokenReward>,
    /// Where it lands.
    pub attach: Attach,
}

/// All terms of a reward, in order.
#[derive(Debug, Default)]
pub struct Composite {
    terms: Vec<TermSpec>,
}

/// The terms' scores in order, and their sum.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tally {
    /// One score per term.
    pub scores: Vec<TermScore>,
    /// The sum of the weighted scores.
    pub total: f64,
}

/// Why terms do not make a reward.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompositeError {
    /// Two terms share a name.
    #[error("two reward terms are called `{0}`; names tell them apart in the logs")]
    DuplicateName(String),
    /// A gate names a term that does not stand before it.
    #[error("the gate of reward term `{term}` names `{gate}`, which is no earlier term")]
    UnknownGate {
        /// The gated term.
        term: String,
        /// What its gate names.
        gate: String,
    },
    /// A weight that is not a finite number.
    #[error("the weight of reward term `{0}` is not finite")]
    BadWeight(String),
}

impl Composite {
    /// A reward of these terms.
    ///
    /// # Errors
    /// Names that clash, gates that point nowhere or forward, weights that are not finite.
    pub fn new(terms: Vec<TermSpec>) -> Result<Self, CompositeError> {
        for (at, term) in terms.iter().enumerate() {
            if terms[..at].iter().any(|earlier| earlier.name == term.name) {
                return Err(CompositeError::DuplicateName(term.name.clone()));
            }
            if !term.weight.is_finite() {
                return Err(CompositeError::BadWeight(term.name.clone()));
            }
            if let Some(gate) = &term.gate
                && !terms[..at].iter().any(|earlier| earlier.name == gate.term)
            {
                return Err(CompositeError::UnknownGate { term: term.name.clone(), gate: gate.term.clone() });
            }
        }
        Ok(Self { terms })
    }

    /// The terms, in order.
    pub fn terms(&self) -> &[TermSpec] {
        &self.terms
    }

    /// Whether a term waits on something.
    pub fn blocking(&self) -> bool {
        self.terms.iter().any(|spec| spec.term.blocking())
    }

    /// Judges with every term; `evidence` gives what each of them looks at.
    ///
    /// # Errors
    /// The first fault, with no reward at all: a broken judge is not a zero.
    pub fn score<'e>(&self, evidence: impl Fn(&TermSpec) -> Evidence<'e>) -> Result<Tally, RewardFault> {
        self.judge(|spec| (evidence(spec), None))
    }

    /// As [`score`](Self::score), with the words of the judged turn where they are known token by token.
    ///
    /// # Errors
    /// As of [`score`](Self::score).
    pub fn judge<'e>(
        &self,
        exhibit: impl Fn(&TermSpec) -> (Evidence<'e>, Option<Spoken<'e>>),
    ) -> Result<Tally, RewardFault> {
        let mut tally = Tally::default();
        for (at, spec) in self.terms.iter().enumerate() {
            let (evidence, spoken) = exhibit(spec);
            let score = spec.term.score(&evidence)?;
            let mut tokens = match &spoken {
                Some(spoken) => spec.term.token_rewards(&evidence, spoken)?,
                None => vec![],
            };
            let raw = tokens.iter().fold(score, |sum, own| sum + own.reward);
            let count = spoken.map_or(0, |spoken| spoken.len());
            if let Some(stray) = tokens.iter().find(|own| own.token >= count) {
                return Err(RewardFault::NoSuchToken { term: spec.name.clone(), token: stray.token, tokens: count });
            }
            if !raw.is_finite() {
                return Err(RewardFault::NotFinite { term: spec.name.clone(), value: raw.to_string() });
            }
            let open = spec.gate.as_ref().is_none_or(|gate| {
                let earlier = self.terms[..at].iter().position(|term| term.name == gate.term);
                earlier.is_some_and(|earlier| tally.scores[earlier].raw > gate.above)
            });
            let (weighted, whole) = if open { (spec.weight * raw, spec.weight * score) } else { (0.0, 0.0) };
            tokens.retain_mut(|own| {
                own.reward *= spec.weight;
                open && own.reward != 0.0
            });
            tally.total += weighted;
            tally.scores.push(TermScore { raw, weighted, whole, tokens, attach: spec.attach });
        }
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Constant(f64);

    impl RewardTerm for Constant {
        fn score(&self, _: &Evidence<'_>) -> Result<f64, RewardFault> {
            Ok(self.0)
        }
    }

    fn term(name: &str, value: f64, weight: f64, gate: Option<&str>) -> TermSpec {
        TermSpec {
            name: name.to_owned(),
            term: Box::new(Constant(value)),
            weight,
            gate: gate.map(|term| Gate { term: term.to_owned(), above: 0.0 }),
            of: None,
            gold: "answer".to_owned(),
            attach: Attach::Episode,
        }
    }

    fn nothing(_: &TermSpec) -> Evidence<'static> {
        Evidence { answer: None, gold: &[], tokens: 0 }
    }

    #[test]
    fn weights_add_and_gates_close() {
        let terms = vec![term("format", 0.0, 0.2, None), term("answer", 1.0, 0.8, Some("format"))];
        let tally = Composite::new(terms).unwrap().score(nothing).unwrap();
        assert_eq!((tally.scores[1].raw, tally.scores[1].weighted, tally.total), (1.0, 0.0, 0.0));

        let terms = vec![term("format", 1.0, 0.2, None), term("answer", 1.0, 0.8, Some("format"))];
        assert_eq!(Composite::new(terms).unwrap().score(nothing).unwrap().total, 1.0);
    }

    /// Pays the first token, and the token of that number.
    #[derive(Debug)]
    struct Pays(f64, usize);

    impl RewardTerm for Pays {
        fn score(&self, _: &Evidence<'_>) -> Result<f64, RewardFault> {
            Ok(0.5)
        }

        fn token_rewards(&self, _: &Evidence<'_>, _: &Spoken<'_>) -> Result<Vec<TokenReward>, RewardFault> {
            Ok([0, self.1].map(|token| TokenReward { token, reward: self.0 }).to_vec())
        }
    }

    #[test]
    fn rewards_of_tokens_are_weighted_gated_and_part_of_the_score() {
        let paid = |gate: f64, pays: Pays| {
            let gated = TermSpec { term: Box::new(pays), ..term("paid", 0.0, 2.0, Some("gate")) };
            let composite = Composite::new(vec![term("gate", gate, 0.0, None), gated]).unwrap();
            let spoken = Spoken { text: "abc", ends: &[1, 2, 3] };
            composite.judge(|spec| (nothing(spec), Some(spoken)))
        };
        let tally = paid(1.0, Pays(0.25, 2)).unwrap();
        let score = &tally.scores[1];
        assert_eq!((score.raw, score.weighted, score.whole, tally.total), (1.0, 2.0, 1.0, 2.0));
        assert_eq!(score.tokens, [0, 2].map(|token| TokenReward { token, reward: 0.5 }));
        let closed = paid(0.0, Pays(0.25, 2)).unwrap();
        assert_eq!((closed.total, closed.scores[1].raw, closed.scores[1].tokens.len()), (0.0, 1.0, 0));
        let stray = RewardFault::NoSuchToken { term: "paid".to_owned(), token: 3, tokens: 3 };
        assert_eq!(paid(1.0, Pays(0.25, 3)), Err(stray));
        assert!(matches!(paid(1.0, Pays(f64::INFINITY, 1)), Err(RewardFault::NotFinite { .. })));
        let unspoken = Composite::new(vec![TermSpec { term: Box::new(Pays(9.0, 9)), ..term("paid", 0.0, 1.0, None) }]);
        assert_eq!(
            unspoken.unwrap().score(nothing).unwrap().total,
            0.5,
            "nobody is asked to pay tokens that are not known"
        );
    }

    #[test]
    fn a_nan_is_a_fault() {
        let composite = Composite::new(vec![term("bad", f64::NAN, 1.0, None)]).unwrap();
        assert!(matches!(composite.score(nothing), Err(RewardFault::NotFinite { .. })));
    }

    #[test]
    fn malformed_composites_are_refused() {
        let twice = vec![term("a", 1.0, 1.0, None), term("a", 1.0, 1.0, None)];
        assert_eq!(Composite::new(twice).unwrap_err(), CompositeError::DuplicateName("a".to_owned()));
        let forward = vec![term("a", 1.0, 1.0, Some("b")), term("b", 1.0, 1.0, None)];
        assert!(matches!(Composite::new(forward).unwrap_err(), CompositeError::UnknownGate { .. }));
        let infinite = vec![term("a", 1.0, f64::INFINITY, None)];
        assert_eq!(Composite::new(infinite).unwrap_err(), CompositeError::BadWeight("a".to_owned()));
    }
}
