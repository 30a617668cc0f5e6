//! One plain thread per device that owns everything with tensors, and the channels that lead to it.
//!
//! Tensors of libtorch are handles that alias; a thread that shares them shares mutable memory. So weights, adapters,
//! optimisers and caches live and die on one thread, and plain data crosses a bounded channel. Training adds its own commands
//! as methods of [`DeviceHandle`] over [`DeviceHandle::call`]: a closure that runs on the thread and sees the [`Device`].

mod command;
mod error;
mod handle;
mod thread;

use crate::generate::Generator;
use crate::model::Decoder;

pub use command::Alone;
pub use error::DeviceError;
pub use handle::{DeviceHandle, Generation, Ticket};
pub use thread::DeviceThread;

/// What a device thread owns.
#[derive(Debug)]
pub struct Device<P> {
    /// The base model that all policies share.
    pub decoder: Decoder,
    /// The policies.
    pub policies: P,
    /// The batch of requests. After changing a policy's weights, tell it to [`forget`](Generator::forget).
    pub generator: Generator,
}

#[cfg(test)]
mod tests;
