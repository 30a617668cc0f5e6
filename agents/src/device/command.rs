//! What can be asked of a device thread.
//!
//! Commands take effect in the order in which they were sent. A generation takes effect by joining the batch; a job that needs
//! the device (or a policy) for itself waits until the generations sent before it are done, and whatever was sent after it waits
//! for it. So every token of an answer comes from one version of its policy.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam::channel::Sender;

use super::Device;
use crate::generate::{GenerateEvent, GenerateRequest, PolicyId, RequestId};

/// One command.
pub(crate) enum Command<P> {
    Generate(Box<Submission>),
    Job(Job<P>),
    /// Ends every request and the thread.
    Shutdown,
}

/// A request with the way back.
pub(crate) struct Submission {
    pub(crate) id: RequestId,
    pub(crate) request: GenerateRequest,
    pub(crate) replies: Sender<(RequestId, GenerateEvent)>,
    pub(crate) cancelled: Arc<AtomicBool>,
}

/// Which generations a job cannot run beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    /// It only reads, or touches nothing that generation uses: it runs between two passes.
    No,
    /// It changes the weights of this policy: alone entirely where they are the base's.
    Policy(PolicyId),
    /// It changes the base, or needs the memory.
    Entirely,
}

/// Work on everything the thread owns.
pub(crate) struct Job<P> {
    pub(crate) alone: Alone,
    pub(crate) run: Box<dyn FnOnce(&mut Device<P>) + Send>,
}

impl<P> fmt::Debug for Job<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("alone", &self.alone).finish_non_exhaustive()
    }
}
