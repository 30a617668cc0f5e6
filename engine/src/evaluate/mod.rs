//! Evaluation: how good a team is on tasks it was not trained on, and how sure that is.

mod pass_at_k;
mod statistics;

pub use pass_at_k::pass_at_k;
pub use statistics::{Estimate, difference, mean};
