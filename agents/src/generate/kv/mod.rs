//! The key-value cache: blocks of positions, who holds them, and which prompts they already answer for.

pub mod blocks;
pub mod cache;
pub mod gathered;
pub mod prefix;
pub mod store;

pub use blocks::{BlockId, BlockPool};
pub use cache::KvCache;
pub use prefix::{PrefixTree, Variant};
pub use store::{KvStore, PagedAttend};
