//! The kinds of tool that a run file can name: the built-in ones, and those that a program adds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Calculator, Program, Search, Tool};
use crate::settings::{Kind, KindError};

type Make = dyn Fn(&Kind) -> Result<Arc<dyn Tool>, KindError> + Send + Sync;

/// Tools by kind.
#[derive(Clone)]
pub struct ToolRegistry {
    makes: BTreeMap<String, Arc<Make>>,
}

impl fmt::Debug for ToolRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kinds()).finish()
    }
}

impl Default for ToolRegistry {
    /// `calculator`, `search` and `program`.
    fn default() -> Self {
        Self { makes: BTreeMap::new() }
            .with("calculator", Kind::read::<Calculator>)
            .with("search", Search::of)
            .with("program", Program::of)
    }
}

impl ToolRegistry {
    /// Adds a kind, or replaces the one of this name.
    #[must_use]
    pub fn with<T: Tool + 'static>(
        mut self,
        kind: impl Into<String>,
        make: impl Fn(&Kind) -> Result<T, KindError> + Send + Sync + 'static,
    ) -> Self {
        let make = move |settings: &Kind| make(settings).map(|tool| Arc::new(tool) as Arc<dyn Tool>);
        self.makes.insert(kind.into(), Arc::new(make));
        self
    }

    /// The names of all kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.makes.keys().map(String::as_str)
    }

    /// Makes a tool; `None` where there is no such kind.
    ///
    /// # Errors
    /// The tool refuses its settings.
    pub fn make(&self, kind: &Kind) -> Option<Result<Arc<dyn Tool>, KindError>> {
        self.makes.get(&kind.kind).map(|make| make(kind))
    }
}
