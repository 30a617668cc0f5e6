//! Losses against the numbers of reference programs, the properties they must have, and tree against flat training.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "losses/columns.rs"]
mod columns;
#[path = "losses/defaults.rs"]
mod defaults;
#[path = "losses/fixtures.rs"]
mod fixtures;
#[path = "losses/peers.rs"]
mod peers;
#[path = "losses/preference_peers.rs"]
mod preference_peers;
#[path = "losses/properties.rs"]
mod properties;
#[path = "losses/shared.rs"]
mod shared;
#[path = "losses/tree_training.rs"]
mod tree_training;
