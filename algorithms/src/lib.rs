//! Every estimator and loss of the field as pure functions: one algorithm per file, each pinned to numbers.
//!
//! This crate holds advantages, credit rules, losses, KL terms, aggregations, update orders, tree packing, and the
//! presets that combine them. It works on plain arrays and on tensors it is given. It never knows a model, a file, a
//! clock or a thread: what it returns depends on its arguments alone.
//!
//! The functions work on one layout, the [`trajectory::Chain`]: all episodes, agents and policies of a batch, flattened.
//!
//! # The algorithms
//!
//! | Algorithm | Paper | File | Peers that have it |
//! |---|---|---|---|

pub mod action_logprob;
pub mod advantage;
pub mod credit;
mod error;
pub mod kl;
pub mod loss;
pub mod order;
pub mod preference;
pub mod reward_model;
pub mod supervised;
pub mod trajectory;
pub mod tree;
pub mod value;

pub use error::{Error, Result};
