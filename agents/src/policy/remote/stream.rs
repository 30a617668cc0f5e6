//! Answers that come in pieces: server-sent events, cut anywhere, also in the middle of a character.

use serde_json::Value;

use super::error::RemoteError;
use super::response::{RemoteAnswer, ToolCall, first_choice, text, tokens};

/// Longest line of a stream; a server that sends a longer one is not speaking this protocol.
const LONGEST_LINE: usize = 1 << 20;

/// What one event added.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Text that was said.
    Text(String),
    /// The stream is over.
    End,
}

/// Puts a streamed answer together.
#[derive(Debug, Default)]
pub struct StreamReader {
    buffer: Vec<u8>,
    answer: RemoteAnswer,
    ended: bool,
}

impl StreamReader {
    /// Takes what the network brought; gives the pieces that became complete.
    ///
    /// # Errors
    /// An event that is no JSON, an error the server put into the stream, a line without end.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Piece>, RemoteError> {
        let mut pieces = vec![];
        self.buffer.extend_from_slice(bytes);
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            self.line(&line, &mut pieces)?;
        }
        if self.buffer.len() > LONGEST_LINE {
            return Err(RemoteError::Malformed(format!("a line of the stream is longer than {LONGEST_LINE} bytes")));
        }
        Ok(pieces)
    }

    /// The answer, once the connection is closed.
    ///
    /// # Errors
    /// The stream ended before the server said so.
    pub fn finish(mut self) -> Result<RemoteAnswer, RemoteError> {
        let rest = std::mem::take(&mut self.buffer);
        self.line(&rest, &mut vec![])?;
        if self.ended || self.answer.finish.is_some() {
            Ok(self.answer)
        } else {
            Err(RemoteError::BrokenOff("the stream ended without a finish reason".to_owned()))
        }
    }

    fn line(&mut self, line: &[u8], pieces: &mut Vec<Piece>) -> Result<(), RemoteError> {
        let line = std::str::from_utf8(line)
            .map_err(|error| RemoteError::Malformed(format!("the stream is not UTF-8: {error}")))?
            .trim_end_matches(['\n', '\r']);
        // comments, event names and blank lines carry nothing
        let Some(data) = line.strip_prefix("data:").map(str::trim_start) else { return Ok(()) };
        if self.ended {
            return Ok(());
        }
        if data == "[DONE]" {
            self.ended = true;
            pieces.push(Piece::End);
            return Ok(());
        }
        let event: Value = serde_json::from_str(data)
            .map_err(|error| RemoteError::Malformed(format!("an event of the stream is no JSON: {error}")))?;
        if let Some(error) = event.get("error") {
            let status = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            let body = error.get("message").map_or_else(|| error.to_string(), |message| text(Some(message)));
            return Err(RemoteError::Status { status: status.unwrap_or(500), body, retry_after: None });
        }
        if let Some(count) = event.pointer("/usage/completion_tokens").and_then(Value::as_u64) {
            self.answer.completion_tokens = Some(count);
        }
        // the last event may carry the usage alone
        if event.get("choices").and_then(Value::as_array).is_some_and(Vec::is_empty) {
            return Ok(());
        }
        let choice = first_choice(&event)?;
        let said = text(choice.pointer("/delta/content").or_else(|| choice.get("text")));
        for call in choice.pointer("/delta/tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.tool_call(call)?;
        }
        self.answer.tokens.extend(tokens(choice.get("logprobs"))?);
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.answer.finish = Some(reason.to_owned());
        }
        if !said.is_empty() {
            self.answer.text.push_str(&said);
            pieces.push(Piece::Text(said));
        }
        Ok(())
    }

    /// A call of a tool comes in pieces too: name and id first, then its arguments bit by bit.
    fn tool_call(&mut self, call: &Value) -> Result<(), RemoteError> {
        let calls = &mut self.answer.tool_calls;
        let index = call.get("index").and_then(Value::as_u64).map_or(calls.len(), |index| index as usize);
        if index > calls.len() {
            return Err(RemoteError::Malformed(format!(
                "a piece of tool call {index} came before call {}",
                calls.len()
            )));
        }
        if index == calls.len() {
            calls.push(ToolCall::default());
        }
        let target = &mut calls[index];
        target.id.push_str(&text(call.get("id")));
        target.name.push_str(&text(call.pointer("/function/name")));
        target.arguments.push_str(&text(call.pointer("/function/arguments")));
        Ok(())
    }
}
