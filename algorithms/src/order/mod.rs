//! Order: which policies are updated when, on which rows, and with what correction.
//!
//! [`schedule`] says which agents learn at a step and in which order, [`warm_up`] holds the policies back until the
//! critic can be trusted, [`factor`] corrects agents that are updated after others, [`mini_batch`] splits rows without
//! dropping any, and [`accumulation`] makes chunks add up to the batch.

pub mod accumulation;
mod error;
pub mod factor;
pub mod mini_batch;
pub mod schedule;
mod shuffle;
pub mod warm_up;

pub use error::OrderError;
