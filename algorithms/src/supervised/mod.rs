//! Supervised losses: learning from demonstrations, token by token.

pub mod error_masked;
pub mod sft;

pub use error_masked::{ErrorMask, TurnSpan, error_mask};
pub use sft::{SftWeights, sft};
