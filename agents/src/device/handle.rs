//! The side of a device that other threads hold.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use super::Device;
use super::command::{Alone, Command, Job, Submission};
use super::error::DeviceError;
use crate::generate::{GenerateError, GenerateEvent, GenerateRequest, GenerateResponse, RequestId, panic_message};

/// Sends commands to a device thread. Clones share the thread; it ends when the last one is gone and nothing runs.
pub struct DeviceHandle<P> {
    commands: Sender<Command<P>>,
    next: Arc<AtomicU64>,
}

impl<P> Clone for DeviceHandle<P> {
    fn clone(&self) -> Self {
        Self { commands: self.commands.clone(), next: Arc::clone(&self.next) }
    }
}

impl<P> fmt::Debug for DeviceHandle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceHandle").field("queued", &self.commands.len()).finish_non_exhaustive()
    }
}

/// A request under way, for whoever listens on a channel of their own.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// The request in [`GenerateEvent`]s.
    pub id: RequestId,
    cancelled: Arc<AtomicBool>,
}

impl Ticket {
    /// Withdraws the request: its last event is [`GenerateError::Cancelled`], unless it has ended by then.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }
}

/// A request under way, with its own channel. Dropping it withdraws the request.
#[derive(Debug)]
pub struct Generation {
    ticket: Ticket,
    events: Receiver<(RequestId, GenerateEvent)>,
}

impl Generation {
    /// What withdraws the request from elsewhere.
    pub fn ticket(&self) -> Ticket {
        self.ticket.clone()
    }

    /// The next event: tokens where the request streams, and the end.
    pub fn next_event(&self) -> GenerateEvent {
        self.events.recv().map_or(GenerateEvent::Done(Err(GenerateError::Shutdown)), |(_, event)| event)
    }

    /// The answer, when it is complete.
    pub fn wait(self) -> Result<GenerateResponse, GenerateError> {
        loop {
            if let GenerateEvent::Done(answer) = self.next_event() {
                return answer;
            }
        }
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.ticket.cancel();
    }
}

impl<P: 'static> DeviceHandle<P> {
    pub(super) fn new(commands: Sender<Command<P>>) -> Self {
        Self { commands, next: Arc::default() }
    }

    /// Asks for a continuation. Blocks while the command queue is full.
    pub fn generate(&self, request: GenerateRequest) -> Result<Generation, GenerateError> {
        // Room for a few tokens; a listener that falls further behind holds up its own events only.
        let (replies, events) = bounded(64);
        let ticket = self.submit(request, &replies)?;
        Ok(Generation { ticket, events })
    }

    /// Asks for a continuation whose events go to `replies`, which any number of requests may share. Blocks while the command
    /// queue is full. Events that find `replies` full wait on the device; with many of those it stops generating until they
    /// are taken, so whoever submits must not wait for the queue without also taking events.
    pub fn submit(
        &self,
        request: GenerateRequest,
        replies: &Sender<(RequestId, GenerateEvent)>,
    ) -> Result<Ticket, GenerateError> {
        let (ticket, command) = self.submission(request, replies);
        self.commands.send(command).map_err(|_| GenerateError::Shutdown)?;
        Ok(ticket)
    }

    /// As [`submit`](Self::submit), but refuses at once where it would block.
    pub fn try_submit(
        &self,
        request: GenerateRequest,
        replies: &Sender<(RequestId, GenerateEvent)>,
    ) -> Result<Ticket, GenerateError> {
        let (ticket, command) = self.submission(request, replies);
        match self.commands.try_send(command) {
            Ok(()) => Ok(ticket),
            Err(TrySendError::Full(_)) => {
                Err(GenerateError::Busy { capacity: self.commands.capacity().unwrap_or(usize::MAX) })
            }
            Err(TrySendError::Disconnected(_)) => Err(GenerateError::Shutdown),
        }
    }

    fn submission(
        &self,
        request: GenerateRequest,
        replies: &Sender<(RequestId, GenerateEvent)>,
    ) -> (Ticket, Command<P>) {
        let id = RequestId(self.next.fetch_add(1, Ordering::Relaxed));
        let cancelled = Arc::new(AtomicBool::new(false));
        let ticket = Ticket { id, cancelled: Arc::clone(&cancelled) };
        (ticket, Command::Generate(Box::new(Submission { id, request, replies: replies.clone(), cancelled })))
    }

    /// Runs `work` on the device thread, once the generations it cannot run beside are done, and waits for what it returns.
    pub fn call<T: Send + 'static>(
        &self,
        alone: Alone,
        work: impl FnOnce(&mut Device<P>) -> T + Send + 'static,
    ) -> Result<T, DeviceError> {
        let pending = self.start(alone, work)?;
        pending.recv().unwrap_or(Err(DeviceError::Shutdown))
    }

    /// As [`call`](Self::call), without waiting: the result comes through the channel.
    pub fn start<T: Send + 'static>(
        &self,
        alone: Alone,
        work: impl FnOnce(&mut Device<P>) -> T + Send + 'static,
    ) -> Result<Receiver<Result<T, DeviceError>>, DeviceError> {
        let (reply, pending) = bounded(1);
        let run = Box::new(move |device: &mut Device<P>| {
            let outcome = catch_unwind(AssertUnwindSafe(|| work(device)));
            let outcome = outcome.map_err(|panic| DeviceError::Panicked(panic_message(&*panic)));
            // Whoever asked may have stopped waiting.
            let _ = reply.try_send(outcome);
        });
        self.commands.send(Command::Job(Job { alone, run })).map_err(|_| DeviceError::Shutdown)?;
        Ok(pending)
    }

    pub(super) fn shut_down(&self) {
        // A thread that is gone needs no telling.
        let _ = self.commands.send(Command::Shutdown);
    }
}
