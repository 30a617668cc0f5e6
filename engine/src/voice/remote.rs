//! A remote voice: an agent whose words a server gives that speaks the OpenAI protocol.
//!
//! Deadlines, retries and the rate of calls are the client's. A server names no token ids, so these words are never trained;
//! where it gives log-probs, budgets and votes can use them.

use std::sync::Arc;

use crossbeam::channel::Sender;
use futures_util::FutureExt as _;
use marft_agents::generate::{FinishReason, Sampling};
use marft_agents::policy::remote::{Client, RemoteAnswer, RemoteRequest};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::messages::messages;
use super::{Answer, Line, Prompt, Question, Taken, Voice, VoiceFault, Words};

/// Speaks through a server.
#[derive(Debug, Clone)]
pub struct Remote {
    client: Arc<Client>,
    beside: Handle,
    logprobs: bool,
    stream: bool,
}

impl Remote {
    /// A voice that asks `client` on the threads of `beside`.
    pub fn new(client: Client, beside: Handle) -> Self {
        Self { client: Arc::new(client), beside, logprobs: false, stream: false }
    }

    /// Asks for the log-prob of every token too; an answer without them is then a fault.
    #[must_use]
    pub fn with_logprobs(self) -> Self {
        Self { logprobs: true, ..self }
    }

    /// Reads answers as streams: nothing on the way cuts a long one off for being silent.
    #[must_use]
    pub fn streaming(self) -> Self {
        Self { stream: true, ..self }
    }

    fn request(&self, question: Question) -> Result<RemoteRequest, VoiceFault> {
        let Prompt::Words(lines) = question.prompt else {
            let message = "a server reads messages, not the tokens of another tokenizer".to_owned();
            return Err(VoiceFault { message, transient: false });
        };
        let messages = messages(&lines, &question.tools);
        let asked = question.sampling;
        let sampling = Sampling {
            temperature: asked.temperature as f32,
            top_k: asked.top_k,
            top_p: asked.top_p as f32,
            min_p: asked.min_p as f32,
            stop: asked.stop,
            stop_ids: asked.stop_ids,
            max_tokens: asked.max_tokens as usize,
            constraint: question.form.as_deref().cloned(),
            ..Sampling::default()
        };
        // servers want a seed that a signed number holds
        let seed = Some(question.seed.draw(0) >> 1);
        let tools = question.tools.to_vec();
        Ok(RemoteRequest { seed, tools, logprobs: self.logprobs, ..RemoteRequest::chat(messages, sampling) })
    }
}

impl Voice for Remote {
    fn ask(&self, question: Question, answers: &Sender<Answer>) -> Taken {
        let ticket = question.ticket;
        let request = match self.request(question) {
            Ok(request) => request,
            Err(fault) => return Taken::Now(Answer { ticket, outcome: Err(fault) }),
        };
        let (client, answers, stream) = (Arc::clone(&self.client), answers.clone(), self.stream);
        let task = self.beside.spawn(async move {
            let asking =
                async { if stream { client.ask_streaming(&request).await } else { client.ask(&request).await } };
            let asked = std::panic::AssertUnwindSafe(asking).catch_unwind().await;
            let outcome = match asked {
                Ok(Ok(answer)) => Ok(words(answer)),
                // the client has tried again already, as often as it is told to
                Ok(Err(error)) => Err(VoiceFault { message: error.to_string(), transient: false }),
                Err(_) => Err(VoiceFault { message: "the client panicked".to_owned(), transient: false }),
            };
            crate::tool::send(&answers, Answer { ticket, outcome }).await;
        });
        let cancel = task.abort_handle();
        Taken::Later(Box::new(move || cancel.abort()))
    }

    fn open(&self, _lines: &[Line]) -> Option<Result<Vec<u32>, VoiceFault>> {
        None
    }

    fn follow_up(&self, _text: &str, _ended: bool) -> Result<Vec<u32>, VoiceFault> {
        Ok(vec![])
    }
}

/// What a server said. Calls of tools come as the text in which a model writes them, so that the world reads one form.
fn words(answer: RemoteAnswer) -> Words {
    let mut text = answer.text;
    for call in answer.tool_calls {
        let arguments = serde_json::from_str(&call.arguments).unwrap_or(Value::String(call.arguments));
        let call = json!({ "name": call.name, "arguments": arguments });
        text.push_str(&format!("<tool_call>\n{call}\n</tool_call>"));
    }
    Words {
        text,
        logprobs: answer.tokens.iter().map(|token| token.logprob as f32).collect(),
        finish: (answer.finish.as_deref() == Some("length")).then_some(FinishReason::MaxTokens),
        usage: answer.completion_tokens.and_then(|tokens| u32::try_from(tokens).ok()),
        ..Words::default()
    }
}
