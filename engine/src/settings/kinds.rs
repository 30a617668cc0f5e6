//! Kinds by name: how reward terms, environments and tools are made from what a run file says of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Kind, KindError};

type Make<Made> = dyn Fn(&Kind) -> Result<Made, KindError> + Send + Sync;

/// What makes a `Made`, by the name of its kind.
pub struct Kinds<Made> {
    makes: BTreeMap<String, Arc<Make<Made>>>,
}

impl<Made> Clone for Kinds<Made> {
    fn clone(&self) -> Self {
        Self { makes: self.makes.clone() }
    }
}

impl<Made> fmt::Debug for Kinds<Made> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kinds()).finish()
    }
}

impl<Made> Kinds<Made> {
    /// No kind at all.
    pub(crate) fn none() -> Self {
        Self { makes: BTreeMap::new() }
    }

    /// Adds a kind, or replaces the one of this name.
    pub(crate) fn with_made(
        mut self,
        kind: impl Into<String>,
        make: impl Fn(&Kind) -> Result<Made, KindError> + Send + Sync + 'static,
    ) -> Self {
        self.makes.insert(kind.into(), Arc::new(make));
        self
    }

    /// The names of all kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.makes.keys().map(String::as_str)
    }

    /// Makes one; `None` where there is no such kind.
    ///
    /// # Errors
    /// The kind refuses its settings.
    pub fn make(&self, kind: &Kind) -> Option<Result<Made, KindError>> {
        self.makes.get(&kind.kind).map(|make| make(kind))
    }
}
