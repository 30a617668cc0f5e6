//! Models by name: what a name means, where its files lie, how they get there.
//!
//! A name is `random:…`, a path to a folder or a GGUF file, an alias, or a hub id. Paths come first: what lies on the
//! disk is never fetched. Fetched models live in the user's cache, one folder each, visible only once it is whole.

mod catalogue;
mod error;
mod export;
mod hub;
#[cfg(test)]
mod hub_tests;
mod install;
mod location;
mod store;
#[cfg(test)]
mod tests;
mod wheels;

pub use catalogue::{CATALOGUE, Entry, Origin};
pub use error::{HubError, PretrainedError};
pub use export::{ExportError, ModelExport};
pub use hub::Hub;
pub use location::{Location, Weights};
pub use store::{Installed, Store};
