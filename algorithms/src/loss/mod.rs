//! Policy losses: from log-probabilities and advantages to a gradient.
//!
//! Every loss takes the new log-probabilities as one flat tensor with gradient, and the rest of the batch as a
//! [`PolicyBatch`]; it returns a [`PolicyLoss`], whose tensor is ready for `backward`. All of them share one fused pass
//! that computes value, gradient and statistics together; an algorithm's file holds its formula and nothing else.

pub mod aggregate;
mod batch;
pub mod cispo;
mod clipped_settings;
pub mod dapo;
pub mod decoupled;
pub mod dr_grpo;
pub mod dual_clip;
pub mod entropy;
mod error;
mod fused;
pub mod grpo;
pub mod gspo;
mod importance;
mod lane;
mod linear;
mod pairs;
mod pass;
mod policy;
pub mod ppo_clip;
pub mod reinforce;
mod sequences;
mod spans;
#[cfg(test)]
pub(crate) mod testing;
pub mod tis;
mod tokens;

pub use aggregate::{Aggregation, Totals};
pub use batch::{PolicyBatch, TokenColumns};
pub use cispo::{Cispo, cispo};
pub use dapo::{Dapo, DynamicSampling, Overlong, Refill, dapo};
pub use decoupled::{Decoupled, decoupled};
pub use dr_grpo::{DrGrpo, dr_grpo};
pub use dual_clip::{DualClip, dual_clip};
pub use entropy::{EntropyBonus, entropy_bonus};
pub use error::LossError;
pub use grpo::{Grpo, grpo};
pub use gspo::{Gspo, gspo};
pub use lane::{ExpParts, LOG_RATIO_LIMIT, Lane};
pub use linear::ScalarLoss;
pub use policy::{PolicyDiagnostics, PolicyLoss};
pub use ppo_clip::{PpoClip, ppo_clip};
pub use reinforce::{Reinforce, reinforce};
pub use tis::{Tis, TisMode, TisWeights, tis};

pub(crate) use aggregate::{count_kept, counts};
pub(crate) use batch::{column, token_count};
pub(crate) use error::{positive, same_length, within};
pub(crate) use fused::{Alone, BLOCK, Objective, Term};
pub(crate) use linear::{one_column, spread_column};
pub(crate) use pairs::{Pairwise, pair_sum};
pub(crate) use pass::{Pass, Spread};
pub(crate) use spans::even_lengths;
pub(crate) use tokens::Tokens;
