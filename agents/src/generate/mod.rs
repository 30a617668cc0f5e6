//! Generation: many requests of many policies, decoded together in one continuous batch.
//!
//! [`request`] is what callers see. Everything else turns requests into rows of one forward pass and rows back into tokens,
//! such that a request's tokens do not depend on what it happened to share the batch with.

pub mod request;
pub mod sampling;

pub use request::{
    FinishReason, GenerateError, GenerateRequest, GenerateResponse, PolicyId, SampledToken, SeedKey, Timings,
};
pub use sampling::Sampling;
