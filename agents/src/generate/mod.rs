//! Generation: many requests of many policies, decoded together in one continuous batch.
//!
//! [`request`] is what callers see. Everything else turns requests into rows of one forward pass and rows back into tokens.
//!
//! # What a request's tokens depend on
//!
//! Random numbers are keyed by seed, request and position ([`random`]); attention and sampling treat every row alone, in an
//! order of arithmetic that depends on its position only; linear layers in tiles of 64 rows give a row the same bits whatever
//! its neighbours. So with [`Placement::tiled`](crate::model::Placement) on the CPU **a request's ids and log-probabilities are
//! the same bits** whatever else is in the batch, whichever adapters the neighbours use, whether its prefix was cached, however
//! its prompt was cut into chunks, however often it was put back for want of blocks, and for any number of threads. Without
//! tiles, matrix kernels are chosen by the number of rows: ids then repeat only while no two tokens are within rounding of each
//! other at the point drawn. Equal bits are promised on one kind of processor and one libtorch, not across them.

mod admission;
pub mod bench;
mod generator;
mod guide;
pub mod kv;
mod pass;
pub mod policies;
pub mod random;
pub mod request;
pub mod sampling;
mod sequence;
pub mod stats;
pub mod stop;

pub(crate) use generator::panic_message;
pub use generator::{Generator, GeneratorOptions};
pub use policies::{Policies, Segment};
pub use request::{
    FinishReason, GenerateError, GenerateEvent, GenerateRequest, GenerateResponse, PolicyId, RequestId, SampledToken,
    SeedKey, Timings,
};
pub use sampling::Sampling;
pub use stats::{GeneratorStats, PassShape, Phases};
pub use stop::TokenBytes;

#[cfg(test)]
mod tests;
