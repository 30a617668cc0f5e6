//! Advantages: how much better an action was than what was to be expected of it.

mod error;

pub use error::AdvantageError;
