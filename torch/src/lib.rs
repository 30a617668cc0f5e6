//! What tch lacks, in a small C-ABI shim beside torch-sys: the only crate of marft with unsafe code.
//!
//! Every C++ file under `cpp/` has one Rust file here that wraps it. The invariants:
//!
//! - **No exception leaves C++.** An entry returns 0 or −1 and keeps the message in a thread-local string; the wrapper
//!   turns it into [`Error`].
//! - **A safe function takes what its kernel needs or fails.** Shapes, kinds and devices are checked before memory is
//!   touched, in C++ by `TORCH_CHECK`.
//! - **A function that writes into a tensor says so in its name or takes `&mut`.** tch tensors are reference-counted
//!   handles, so Rust's `&mut` cannot forbid aliases; the caller owns that.
//! - **The kernels share libtorch's threads** (its OpenMP pool) and treat every row alone: a row's result depends neither
//!   on its neighbours nor on the number of threads.
//!
//! The crate knows nothing of models, algorithms or agents.

#![expect(unsafe_code, reason = "the shim is where foreign functions are called; each call states why it is sound")]

pub mod adamw;
#[cfg(feature = "cuda")]
pub mod cuda;
mod error;
pub mod fused_loss;
pub mod gradients;
pub mod lanes;
pub mod lora_linear;
pub mod memory;
pub mod packed_attention;
pub mod packed_linear;
pub mod paged_attention;
pub mod parallel;
pub mod rng;
pub mod rows;
pub mod runtime;
pub mod sampler;
pub mod segment_lora;
pub mod token_logprobs;

pub use adamw::{AdamWOptions, fused_adamw, global_norm, scale_all};
pub use error::{Error, Result};
pub use fused_loss::{Float, FusedLoss};
pub use gradients::{backward_from, clear_gradients};
pub use lora_linear::{LoraSegment, lora_linear};
pub use packed_attention::{masked_attention, packed_attention, seen_rows};
pub use packed_linear::PackedWeight;
pub use paged_attention::{PagedCache, PagedRows};
pub use runtime::{GradMode, SdpaBackends};
pub use sampler::{Draw, DrawRequest, Draws, Edit};
pub use segment_lora::{Factors, add_segments};
pub use token_logprobs::{CHUNK_ROWS, token_logprobs};
