//! The kinds of environment that a run file can name: the built-in one, and those that a program adds.

use super::{Environment, QuestionAnswering};
use crate::settings::{Kind, KindError, Kinds};

/// Environments by kind. One is made for every episode.
pub type EnvironmentRegistry = Kinds<Box<dyn Environment>>;

impl Default for EnvironmentRegistry {
    /// `question`.
    fn default() -> Self {
        Self::none().with("question", Kind::read::<QuestionAnswering>)
    }
}

impl EnvironmentRegistry {
    /// Adds a kind, or replaces the one of this name.
    #[must_use]
    pub fn with<E: Environment + 'static>(
        self,
        kind: impl Into<String>,
        make: impl Fn(&Kind) -> Result<E, KindError> + Send + Sync + 'static,
    ) -> Self {
        self.with_made(kind, move |settings| {
            make(settings).map(|environment| Box::new(environment) as Box<dyn Environment>)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn question_is_built_in_and_checks_its_settings() {
        let kind = |kind: &str, settings: serde_json::Value| Kind {
            kind: kind.to_owned(),
            settings: settings.as_object().unwrap().clone(),
        };
        let registry = EnvironmentRegistry::default();
        assert!(registry.make(&kind("question", json!({"own": {"asker": "question"}}))).unwrap().is_ok());
        let refused = registry.make(&kind("question", json!({"owns": {}}))).unwrap().unwrap_err();
        assert_eq!(refused.help.as_deref(), Some("did you mean `own`?"));
        assert!(registry.make(&kind("maze", json!({}))).is_none());
    }
}
