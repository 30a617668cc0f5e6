//! The threads beside the engine's: one tokio runtime for whatever waits on something else than a device. The engine's
//! own thread never enters it.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// Threads that poll sockets and timers; calls that block get threads of their own.
const WORKERS: usize = 2;

/// A runtime, made when it is first needed, or one that was handed in.
#[derive(Debug, Default)]
pub struct Io {
    handle: Option<Handle>,
    own: Option<Runtime>,
}

impl Io {
    /// Uses a runtime that lives elsewhere.
    pub fn of(handle: Handle) -> Self {
        Self { handle: Some(handle), own: None }
    }

    /// Starts a runtime at once, for voices that need it before there is an engine.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start() -> io::Result<Self> {
        let mut io = Self::default();
        io.handle()?;
        Ok(io)
    }

    /// The runtime's handle.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn handle(&mut self) -> io::Result<Handle> {
        if let Some(handle) = &self.handle {
            return Ok(handle.clone());
        }
        let runtime =
            Builder::new_multi_thread().worker_threads(WORKERS).thread_name("marft-io").enable_all().build()?;
        let handle = runtime.handle().clone();
        (self.handle, self.own) = (Some(handle.clone()), Some(runtime));
        Ok(handle)
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if let Some(runtime) = self.own.take() {
            // a call that blocks for ever must not keep the process
            runtime.shutdown_background();
        }
    }
}
