//! The kinds of tool that a run file can name: the built-in ones, and those that a program adds.

use std::sync::Arc;

use super::{Calculator, Program, Search, Tool};
use crate::settings::{Kind, KindError, Kinds};

/// Tools by kind.
pub type ToolRegistry = Kinds<Arc<dyn Tool>>;

impl Default for ToolRegistry {
    /// `calculator`, `search` and `program`.
    fn default() -> Self {
        Self::none()
            .with("calculator", Kind::read::<Calculator>)
            .with("search", Search::of)
            .with("program", Program::of)
    }
}

impl ToolRegistry {
    /// Adds a kind, or replaces the one of this name.
    #[must_use]
    pub fn with<T: Tool + 'static>(
        self,
        kind: impl Into<String>,
        make: impl Fn(&Kind) -> Result<T, KindError> + Send + Sync + 'static,
    ) -> Self {
        self.with_made(kind, move |settings| make(settings).map(|tool| Arc::new(tool) as Arc<dyn Tool>))
    }
}
