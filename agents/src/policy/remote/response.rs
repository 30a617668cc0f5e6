//! What comes back: text, tokens with log-probs, tool calls, and why it ended.

use serde_json::Value;

use super::error::RemoteError;

/// One token as the server names it.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteToken {
    /// Its text.
    pub text: String,
    /// Its log-probability, under the distribution the server says it was drawn from.
    pub logprob: f64,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolCall {
    /// The server's name for the call.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments as the model wrote them: JSON, or what was meant to be.
    pub arguments: String,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RemoteAnswer {
    /// What was said.
    pub text: String,
    /// Why it ended, in the server's word: `stop`, `length`, `tool_calls`.
    pub finish: Option<String>,
    /// Tokens with log-probs, where they were asked for.
    pub tokens: Vec<RemoteToken>,
    /// Calls of tools.
    pub tool_calls: Vec<ToolCall>,
    /// Sampled tokens as the server counts them.
    pub completion_tokens: Option<u64>,
}

impl RemoteAnswer {
    /// Reads the first choice of an answer that came whole.
    pub(super) fn read(body: &Value) -> Result<Self, RemoteError> {
        let choice = first_choice(body)?;
        let mut answer = Self::default();
        if let Some(message) = choice.get("message") {
            answer.text = text(message.get("content"));
            for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
                answer.tool_calls.push(ToolCall {
                    id: text(call.get("id")),
                    name: text(call.pointer("/function/name")),
                    arguments: text(call.pointer("/function/arguments")),
                });
            }
        } else if choice.get("text").is_some() {
            answer.text = text(choice.get("text"));
        } else {
            return Err(RemoteError::Malformed("the choice has neither `message` nor `text`".to_owned()));
        }
        answer.finish = choice.get("finish_reason").and_then(Value::as_str).map(str::to_owned);
        answer.tokens = tokens(choice.get("logprobs"))?;
        answer.completion_tokens = body.pointer("/usage/completion_tokens").and_then(Value::as_u64);
        Ok(answer)
    }
}

pub(super) fn first_choice(body: &Value) -> Result<&Value, RemoteError> {
    body.pointer("/choices/0").ok_or_else(|| RemoteError::Malformed("the answer holds no choice".to_owned()))
}

pub(super) fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Log-probs in either form: chat's list of objects under `content`, completion's two parallel lists.
pub(super) fn tokens(logprobs: Option<&Value>) -> Result<Vec<RemoteToken>, RemoteError> {
    let Some(logprobs) = logprobs.filter(|value| !value.is_null()) else { return Ok(vec![]) };
    let malformed = || RemoteError::Malformed("log-probs are not in a known form".to_owned());
    if let Some(content) = logprobs.get("content") {
        let content = content.as_array().map(Vec::as_slice).unwrap_or_default();
        let read = |token: &Value| {
            let logprob = token.get("logprob").and_then(Value::as_f64).ok_or_else(malformed)?;
            Ok(RemoteToken { text: text(token.get("token")), logprob })
        };
        return content.iter().map(read).collect();
    }
    let (Some(texts), Some(numbers)) =
        (logprobs.get("tokens").and_then(Value::as_array), logprobs.get("token_logprobs").and_then(Value::as_array))
    else {
        return Err(malformed());
    };
    if texts.len() != numbers.len() {
        return Err(malformed());
    }
    let pairs = texts.iter().zip(numbers);
    pairs
        .map(|(token, number)| {
            Ok(RemoteToken { text: text(Some(token)), logprob: number.as_f64().ok_or_else(malformed)? })
        })
        .collect()
}
