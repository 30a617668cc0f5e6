//! Remote policies: any server that speaks the OpenAI protocol, chat or plain completions.
//!
//! [`Client`] sends a [`RemoteRequest`], keeps to a rate and a deadline, tries again what may pass, and reads the answer
//! whole or as a stream. [`adapters`] pushes trained adapters to servers that load them while they run.

pub mod adapters;
mod client;
mod config;
mod error;
mod rate;
mod request;
mod response;
mod retries;
mod stream;

pub use client::Client;
pub use config::{ApiKey, RemoteConfig};
pub use error::RemoteError;
pub use request::{Endpoint, RemoteRequest};
pub use response::{RemoteAnswer, RemoteToken, ToolCall};
pub use stream::{Piece, StreamReader};

#[cfg(test)]
mod real_server;
#[cfg(test)]
mod tests;
