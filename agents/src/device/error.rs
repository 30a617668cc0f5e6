//! Why a command to a device thread gave no result.

/// A failed command. The device itself lives on, but for [`Shutdown`](Self::Shutdown).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The command panicked; what it had changed by then stays changed.
    #[error("a command on the device thread panicked: {0}")]
    Panicked(String),
    /// Setting the device up panicked.
    #[error("the device could not be set up: {0}")]
    SetUp(String),
    /// The thread has ended.
    #[error("the device thread has shut down")]
    Shutdown,
    /// The operating system gave no thread.
    #[error("cannot start the device thread: {0}")]
    Spawn(String),
}
