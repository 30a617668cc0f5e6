//! The thread itself: takes commands, steps the batch, sends events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};

use super::Device;
use super::command::{Alone, Command, Job, Submission};
use super::error::DeviceError;
use super::handle::DeviceHandle;
use crate::generate::{GenerateError, GenerateEvent, Policies, RequestId, panic_message};

/// Events that may wait for a full reply channel before generation pauses.
const MAX_UNSENT: usize = 4096;

/// How long to wait before looking again at a reply channel that is full.
const RETRY: Duration = Duration::from_millis(1);

/// A running device thread. Dropping it ends every request and waits for the thread.
#[derive(Debug)]
pub struct DeviceThread<P: 'static> {
    handle: DeviceHandle<P>,
    thread: Option<JoinHandle<()>>,
}

impl<P: Policies + 'static> DeviceThread<P> {
    /// Starts the thread `name` with a queue of `capacity` commands. `build` runs on it, so every tensor is made where it lives;
    /// its error comes back from here, and so does the message of its panic.
    pub fn spawn<E: From<DeviceError> + Send + 'static>(
        name: &str,
        capacity: usize,
        build: impl FnOnce() -> Result<Device<P>, E> + Send + 'static,
    ) -> Result<Self, E> {
        let (commands, queue) = bounded(capacity);
        let (report, ready) = bounded(1);
        let body = move || match catch_unwind(AssertUnwindSafe(build)) {
            Ok(Ok(device)) => {
                if report.send(Ok(())).is_ok() {
                    Loop::new(device, queue).run();
                }
            }
            Ok(Err(error)) => drop(report.send(Err(error))),
            Err(panic) => drop(report.send(Err(DeviceError::SetUp(panic_message(&*panic)).into()))),
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        let thread = thread.map_err(|error| DeviceError::Spawn(error.to_string()))?;
        match ready.recv() {
            Ok(Ok(())) => Ok(Self { handle: DeviceHandle::new(commands), thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(DeviceError::Shutdown.into()),
        }
    }

    /// A handle to send commands with.
    pub fn handle(&self) -> DeviceHandle<P> {
        self.handle.clone()
    }
}

impl<P: 'static> Drop for DeviceThread<P> {
    fn drop(&mut self) {
        self.handle.shut_down();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported to its callers as a shutdown.
            let _ = thread.join();
        }
    }
}

/// Where the events of a request go.
struct Listener {
    replies: Sender<(RequestId, GenerateEvent)>,
    cancelled: Arc<AtomicBool>,
}

struct Loop<P> {
    device: Device<P>,
    queue: Receiver<Command<P>>,
    listeners: BTreeMap<RequestId, Listener>,
    /// Events whose channel was full, oldest first.
    unsent: VecDeque<(RequestId, GenerateEvent)>,
    /// A job that waits for generations to end; nothing else is taken from the queue meanwhile.
    deferred: Option<Job<P>>,
    /// Every handle is gone.
    abandoned: bool,
}

impl<P: Policies> Loop<P> {
    fn new(device: Device<P>, queue: Receiver<Command<P>>) -> Self {
        Self { device, queue, listeners: BTreeMap::new(), unsent: VecDeque::new(), deferred: None, abandoned: false }
    }

    fn run(mut self) {
        loop {
            if !self.take_commands() {
                let events = self.device.generator.end_all(&GenerateError::Shutdown);
                self.send(events);
                return;
            }
            self.withdraw();
            if self.unsent.len() < MAX_UNSENT {
                let events = self.device.generator.step(&self.device.decoder, &self.device.policies);
                self.send(events);
            } else if !self.device.generator.is_idle() {
                // Nothing can be done until somebody listens; an idle device waits where it takes commands.
                std::thread::sleep(RETRY);
            }
            self.send_late();
            if self.device.generator.is_idle() && self.unsent.is_empty() && self.deferred.is_none() && self.abandoned {
                return;
            }
        }
    }

    /// Takes what the queue holds; waits for a command if there is nothing else to do. False at the end.
    fn take_commands(&mut self) -> bool {
        loop {
            if let Some(job) = self.deferred.take() {
                let busy = match job.alone {
                    Alone::No => false,
                    Alone::Policy(policy) if !self.device.policies.owns_base(policy) => {
                        self.device.generator.serves(policy)
                    }
                    Alone::Policy(_) | Alone::Entirely => !self.device.generator.is_idle(),
                };
                if busy {
                    self.deferred = Some(job);
                    return true;
                }
                // A panic is caught inside, where the caller can be told of it.
                (job.run)(&mut self.device);
            }
            let idle = self.device.generator.is_idle();
            let command = if !idle {
                self.queue.try_recv()
            } else if self.unsent.is_empty() {
                self.queue.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                std::thread::sleep(RETRY);
                self.queue.try_recv()
            };
            match command {
                Ok(Command::Generate(submission)) => self.take_on(*submission),
                Ok(Command::Job(job)) => self.deferred = Some(job),
                Ok(Command::Shutdown) => return false,
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => {
                    self.abandoned = true;
                    return true;
                }
            }
            // An idle device starts on what has just arrived only after the queue has been emptied: requests sent together
            // then share their first pass.
        }
    }

    fn take_on(&mut self, submission: Submission) {
        let Submission { id, request, replies, cancelled } = submission;
        self.listeners.insert(id, Listener { replies, cancelled });
        if let Err(error) = self.device.generator.submit(id, request, &self.device.policies) {
            self.send(vec![(id, GenerateEvent::Done(Err(error)))]);
        }
    }

    fn withdraw(&mut self) {
        for (&id, listener) in &self.listeners {
            if listener.cancelled.load(Ordering::Acquire) {
                self.device.generator.cancel(id);
            }
        }
    }

    fn send(&mut self, events: Vec<(RequestId, GenerateEvent)>) {
        for event in events {
            self.unsent.push_back(event);
        }
        self.send_late();
    }

    /// Sends what can be sent, each request's events in their order.
    fn send_late(&mut self) {
        let mut stuck: BTreeSet<RequestId> = BTreeSet::new();
        for _ in 0..self.unsent.len() {
            let Some((id, event)) = self.unsent.pop_front() else { break };
            let Some(listener) = self.listeners.get(&id) else { continue };
            let last = matches!(event, GenerateEvent::Done(_));
            let outcome = if stuck.contains(&id) {
                Err(TrySendError::Full((id, event)))
            } else {
                listener.replies.try_send((id, event))
            };
            match outcome {
                Ok(()) if !last => {}
                Err(TrySendError::Full(event)) => {
                    stuck.insert(id);
                    self.unsent.push_back(event);
                }
                // Whoever listened is gone: what is not answered yet need not be.
                Err(TrySendError::Disconnected(_)) if !last => listener.cancelled.store(true, Ordering::Release),
                Ok(()) | Err(TrySendError::Disconnected(_)) => {
                    self.listeners.remove(&id);
                }
            }
        }
    }
}
