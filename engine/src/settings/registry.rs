//! What a run file can name: kinds of reward terms, of environments and of tools.

use crate::environment::{Environment, EnvironmentRegistry};
use crate::reward::{RewardRegistry, RewardTerm};
use crate::tool::{Tool, ToolRegistry};

use super::{Kind, KindError};

/// The kinds that a run file can name.
///
/// ```
/// use marft_engine::reward::{Evidence, RewardFault, RewardTerm};
/// use marft_engine::settings::Registry;
/// use serde::Deserialize;
///
/// /// Pays for a word.
/// #[derive(Debug, Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Politeness {
///     word: String,
/// }
///
/// impl RewardTerm for Politeness {
///     fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
///         Ok(f64::from(evidence.answer.is_some_and(|text| text.contains(&self.word))))
///     }
/// }
///
/// let registry = Registry::default().with_reward("politeness", |kind| kind.read::<Politeness>());
/// assert!(registry.rewards.kinds().any(|kind| kind == "politeness"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// Reward terms.
    pub rewards: RewardRegistry,
    /// Environments.
    pub environments: EnvironmentRegistry,
    /// Tools.
    pub tools: ToolRegistry,
}

impl Registry {
    /// Adds a kind of reward term, or replaces the one of this name.
    #[must_use]
    pub fn with_reward<T: RewardTerm + 'static>(
        mut self,
        kind: impl Into<String>,
        make: impl Fn(&Kind) -> Result<T, KindError> + Send + Sync + 'static,
    ) -> Self {
        self.rewards = self.rewards.with(kind, make);
        self
    }

    /// Adds a kind of environment, or replaces the one of this name.
    #[must_use]
    pub fn with_environment<E: Environment + 'static>(
        mut self,
        kind: impl Into<String>,
        make: impl Fn(&Kind) -> Result<E, KindError> + Send + Sync + 'static,
    ) -> Self {
        self.environments = self.environments.with(kind, make);
        self
    }

    /// Adds a kind of tool, or replaces the one of this name.
    #[must_use]
    pub fn with_tool<T: Tool + 'static>(
        mut self,
        kind: impl Into<String>,
        make: impl Fn(&Kind) -> Result<T, KindError> + Send + Sync + 'static,
    ) -> Self {
        self.tools = self.tools.with(kind, make);
        self
    }
}
