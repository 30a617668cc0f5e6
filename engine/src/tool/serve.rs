//! Serving a call: wait for a place, keep the time, send what came of it.

use std::time::Duration;

use crossbeam::channel::{Sender, TrySendError};
use tokio::runtime::Handle;

use super::{ToolFault, ToolRequest, ToolResult, Tools, died};
use crate::voice::{Answer, Taken, Ticket, VoiceFault, Words};

/// How long a task waits before it looks again at a completion channel that is full.
const PAUSE: Duration = Duration::from_millis(1);

impl Tools {
    /// Starts a call; its result is sent to `answers` as words without tokens.
    pub(crate) fn start(
        &self,
        request: ToolRequest,
        ticket: Ticket,
        beside: &Handle,
        answers: &Sender<Answer>,
    ) -> Taken {
        let Some(registered) = self.registered.get(&request.tool).cloned() else {
            let message = format!("no tool called `{}` is connected", request.tool);
            return Taken::Now(Answer { ticket, outcome: Err(VoiceFault { message, transient: false }) });
        };
        let answers = answers.clone();
        let name = request.tool.clone();
        let task = beside.spawn(async move {
            // the semaphore is never closed
            let place = registered.places.clone().acquire_owned().await.ok();
            let limit = registered.limits.patience;
            // a task of its own, so that a tool that panics takes nobody along; it keeps its place until it is really over
            let mut work = Working(tokio::spawn(async move {
                let _place = place;
                registered.tool.call(request).await
            }));
            let result = match tokio::time::timeout(limit, &mut work.0).await {
                Ok(joined) => joined.unwrap_or_else(|error| fault(died(&error))),
                Err(_) => fault(format!("no result within {} s", limit.as_secs_f64())),
            };
            drop(work);
            let outcome = result.map(|text| Words { text, ..Words::default() });
            let outcome = outcome.map_err(|ToolFault { message, transient }| VoiceFault {
                message: format!("tool `{name}`: {message}"),
                transient,
            });
            send(&answers, Answer { ticket, outcome }).await;
        });
        let cancel = task.abort_handle();
        Taken::Later(Box::new(move || cancel.abort()))
    }
}

/// A running tool; it stops when nobody waits for it any more.
struct Working(tokio::task::JoinHandle<ToolResult>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn fault(message: String) -> ToolResult {
    Err(ToolFault { message, transient: false })
}

/// Sends an answer without blocking the runtime's thread while the channel is full.
pub(crate) async fn send(answers: &Sender<Answer>, mut answer: Answer) {
    loop {
        match answers.try_send(answer) {
            // a world that is gone wants no answers
            Ok(()) | Err(TrySendError::Disconnected(_)) => return,
            Err(TrySendError::Full(back)) => answer = back,
        }
        tokio::time::sleep(PAUSE).await;
    }
}
