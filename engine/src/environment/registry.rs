//! The kinds of environment that a run file can name: the built-in one, and those that a program adds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Environment, QuestionAnswering};
use crate::settings::{Kind, KindError};

type Make = dyn Fn(&Kind) -> Result<Box<dyn Environment>, KindError> + Send + Sync;

/// Environments by kind. One is made for every episode.
#[derive(Clone)]
pub struct EnvironmentRegistry {
    makes: BTreeMap<String, Arc<Make>>,
}

impl fmt::Debug for EnvironmentRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kinds()).finish()
    }
}

impl Default for EnvironmentRegistry {
    /// `question`.
    fn default() -> Self {
        Self { makes: BTreeMap::new() }.with("question", Kind::read::<QuestionAnswering>)
    }
}

impl EnvironmentRegistry {
    /// Adds a kind, or replaces the one of this name.
    #[must_use]
    pub fn with<E: Environment + 'static>(
        mut self,
        kind: impl Into<String>,
        make: impl Fn(&Kind) -> Result<E, KindError> + Send + Sync + 'static,
    ) -> Self {
        let make =
            move |settings: &Kind| make(settings).map(|environment| Box::new(environment) as Box<dyn Environment>);
        self.makes.insert(kind.into(), Arc::new(make));
        self
    }

    /// The names of all kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.makes.keys().map(String::as_str)
    }

    /// Makes an environment; `None` where there is no such kind.
    ///
    /// # Errors
    /// The environment refuses its settings.
    pub fn make(&self, kind: &Kind) -> Option<Result<Box<dyn Environment>, KindError>> {
        self.makes.get(&kind.kind).map(|make| make(kind))
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
