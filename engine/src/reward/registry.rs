//! The kinds of reward term that a run file can name: the built-in ones, and those that a program adds.

use super::{
    Code, Composite, CompositeError, Contains, ExactMatch, Format, LabelSet, LengthShaping, MathsAnswer, Numeric,
    RewardTerm, TermSpec, TokenF1,
};
use crate::settings::{Kind, KindError, Kinds, RewardSettings};

/// Reward terms by kind.
pub type RewardRegistry = Kinds<Box<dyn RewardTerm>>;

impl Default for RewardRegistry {
    /// `exact`, `contains`, `token_f1`, `format`, `numeric`, `maths`, `label_set`, `length` and `code`.
    fn default() -> Self {
        Self::none()
            .with("exact", Kind::read::<ExactMatch>)
            .with("contains", Kind::read::<Contains>)
            .with("token_f1", Kind::read::<TokenF1>)
            .with("format", Kind::read::<Format>)
            .with("numeric", Kind::read::<Numeric>)
            .with("maths", Kind::read::<MathsAnswer>)
            .with("label_set", Kind::read::<LabelSet>)
            .with("length", Kind::read::<LengthShaping>)
            .with("code", Code::of)
    }
}

/// Why the settings of a run make no reward.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No term of this kind.
    #[error("there is no reward term of kind `{0}`; a program adds its own with `with_reward`")]
    UnknownKind(String),
    /// A term refuses its settings.
    #[error("reward term `{name}`: {error}")]
    Settings {
        /// The term.
        name: String,
        /// Why.
        error: KindError,
    },
    /// The terms do not go together.
    #[error(transparent)]
    Composite(#[from] CompositeError),
}

impl RewardRegistry {
    /// Adds a kind, or replaces the one of this name.
    #[must_use]
    pub fn with<T: RewardTerm + 'static>(
        self,
        kind: impl Into<String>,
        make: impl Fn(&Kind) -> Result<T, KindError> + Send + Sync + 'static,
    ) -> Self {
        self.with_made(kind, move |settings| make(settings).map(|term| Box::new(term) as Box<dyn RewardTerm>))
    }

    /// Makes the whole reward of a run.
    ///
    /// # Errors
    /// A kind that is not registered, settings that are refused, terms that do not go together.
    pub fn composite(&self, terms: &[RewardSettings]) -> Result<Composite, RegistryError> {
        let make = |settings: &RewardSettings| {
            let made =
                self.make(&settings.term).ok_or_else(|| RegistryError::UnknownKind(settings.term.kind.clone()))?;
            let term = made.map_err(|error| RegistryError::Settings { name: settings.name.clone(), error })?;
            Ok(TermSpec {
                name: settings.name.clone(),
                term,
                weight: settings.weight,
                gate: settings.gate.clone(),
                of: settings.of.clone(),
                gold: settings.gold.clone(),
                attach: settings.attach,
            })
        };
        let terms: Result<Vec<_>, RegistryError> = terms.iter().map(make).collect();
        Ok(Composite::new(terms?)?)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::reward::{Attach, Evidence, RewardFault};

    /// Pays for a word.
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Politeness {
        word: String,
    }

    impl RewardTerm for Politeness {
        fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
            Ok(f64::from(evidence.answer.is_some_and(|text| text.contains(&self.word))))
        }
    }

    fn term(kind: &str, settings: &serde_json::Value) -> RewardSettings {
        RewardSettings {
            name: kind.to_owned(),
            term: Kind { kind: kind.to_owned(), settings: settings.as_object().unwrap().clone() },
            weight: 1.0,
            gate: None,
            of: None,
            gold: "answer".to_owned(),
            attach: Attach::Episode,
        }
    }

    #[test]
    fn every_built_in_kind_is_made() {
        let terms = [
            term("exact", &json!({"normaliser": "case"})),
            term("contains", &json!({})),
            term("token_f1", &json!({})),
            term("format", &json!({"pattern": "a+", "once": ["a"]})),
            term("numeric", &json!({"absolute": 0.5})),
            term("maths", &json!({"percent": true})),
            term("label_set", &json!({"labels": ["satire", "news"]})),
            term("length", &json!({"max_tokens": 48, "buffer": 16})),
        ];
        let registry = RewardRegistry::default();
        // `code` is made only where programs can be isolated
        let others = registry.kinds().filter(|kind| *kind != "code");
        assert_eq!(others.count(), terms.len());
        assert_eq!(registry.composite(&terms).unwrap().terms().len(), terms.len());
    }

    #[test]
    fn a_program_adds_its_own() {
        let registry = RewardRegistry::default().with("politeness", Kind::read::<Politeness>);
        let reward = registry.composite(&[term("politeness", &json!({"word": "please"}))]).unwrap();
        let tally = reward.score(|_| Evidence { answer: Some("yes, please"), gold: &[], tokens: 3 }).unwrap();
        assert_eq!(tally.total, 1.0);
        let refused = registry.composite(&[term("politeness", &json!({}))]).unwrap_err();
        assert_eq!(refused.to_string(), "reward term `politeness`: missing field `word`");
        let unknown = RewardRegistry::default().composite(&[term("politeness", &json!({}))]).unwrap_err();
        assert!(matches!(unknown, RegistryError::UnknownKind(_)));
    }
}
