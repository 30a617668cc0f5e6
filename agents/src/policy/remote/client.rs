//! The client: one call with its rate, deadline and retries.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use serde_json::Value;

use super::config::RemoteConfig;
use super::error::RemoteError;
use super::rate::Rate;
use super::request::RemoteRequest;
use super::response::RemoteAnswer;
use super::retries::Retries;
use super::stream::{Piece, StreamReader};

/// What is kept of a refusal's body.
const EXCERPT: usize = 400;

/// Asks one server. Clones share its connections and its rate.
#[derive(Debug, Clone)]
pub struct Client {
    config: Arc<RemoteConfig>,
    http: reqwest::Client,
    rate: Arc<Rate>,
}

impl Client {
    /// A client of the server that `config` names. Nothing is sent yet.
    ///
    /// # Errors
    /// The settings make no sense, or TLS cannot be set up.
    pub fn new(config: RemoteConfig) -> Result<Self, RemoteError> {
        config.check()?;
        // an error means that a provider is installed already, which serves as well
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut headers = reqwest::header::HeaderMap::new();
        if let Some(key) = &config.key {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.reveal()))
                .map_err(|_| RemoteError::Config("the key holds characters that a header cannot".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = reqwest::Client::builder().default_headers(headers).build();
        let http = http.map_err(|error| RemoteError::Config(error.without_url().to_string()))?;
        let rate = Arc::new(Rate::new(config.calls_per_minute));
        Ok(Self { config: Arc::new(config), http, rate })
    }

    /// Its settings.
    pub fn config(&self) -> &RemoteConfig {
        &self.config
    }

    /// Asks, and waits for the whole answer.
    ///
    /// # Errors
    /// What the last attempt came to, or the deadline.
    pub async fn ask(&self, request: &RemoteRequest) -> Result<RemoteAnswer, RemoteError> {
        let answer = self
            .retrying(|| async {
                let body = self.post(request.endpoint.path(), &request.body(&self.config.model, false)).await?;
                RemoteAnswer::read(&body)
            })
            .await?;
        with_logprobs(request, answer)
    }

    /// As [`ask`](Self::ask), with the answer as a stream: the connection is never silent for longer than a token takes, so
    /// that nothing on the way cuts a long answer off. Nothing is handed on, so an attempt that broke off is tried again.
    ///
    /// # Errors
    /// As of [`ask`](Self::ask).
    pub async fn ask_streaming(&self, request: &RemoteRequest) -> Result<RemoteAnswer, RemoteError> {
        let url = self.config.url(request.endpoint.path());
        let body = request.body(&self.config.model, true);
        let answer = self.retrying(|| self.read_stream(&url, &body, |_| ())).await?;
        with_logprobs(request, answer)
    }

    /// Asks, and hands on what is said as it comes. An attempt that broke off after something was said is not tried again; one
    /// that broke off before is.
    ///
    /// # Errors
    /// What the last attempt came to, or the deadline.
    pub async fn stream(
        &self,
        request: &RemoteRequest,
        mut said: impl FnMut(&str),
    ) -> Result<RemoteAnswer, RemoteError> {
        let url = self.config.url(request.endpoint.path());
        let body = request.body(&self.config.model, true);
        let mut retries = Retries::new(&self.config, &self.rate);
        let mut spoke = false;
        loop {
            let heard = |text: &str| {
                spoke = true;
                said(text);
            };
            match retries.attempt(self.read_stream(&url, &body, heard)).await {
                Ok(answer) => return with_logprobs(request, answer),
                Err(error) if spoke => return Err(error),
                Err(error) => retries.after(error).await?,
            }
        }
    }

    /// One attempt at a stream.
    async fn read_stream(
        &self,
        url: &str,
        body: &Value,
        mut heard: impl FnMut(&str),
    ) -> Result<RemoteAnswer, RemoteError> {
        let mut reader = StreamReader::default();
        let mut bytes = self.send(url, body).await?.bytes_stream();
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk.map_err(|error| RemoteError::BrokenOff(error.without_url().to_string()))?;
            for piece in reader.push(&chunk)? {
                if let Piece::Text(text) = piece {
                    heard(&text);
                }
            }
        }
        reader.finish()
    }

    /// Posts JSON to a path below the base and reads the JSON that comes back. One attempt.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, RemoteError> {
        self.post_url(&self.config.url(path), body).await
    }

    /// As [`post`](Self::post), for a whole address. It is for whoever calls to set a deadline: see [`retrying`](Self::retrying).
    pub(super) async fn post_url(&self, url: &str, body: &Value) -> Result<Value, RemoteError> {
        let response = self.send(url, body).await?;
        let text = response.text().await.map_err(|error| RemoteError::BrokenOff(error.without_url().to_string()))?;
        // servers answer some calls with plain words
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn send(&self, url: &str, body: &Value) -> Result<reqwest::Response, RemoteError> {
        let sent = self.http.post(url).json(body).send().await;
        let response = sent.map_err(|error| {
            let reason = innermost(&error.without_url());
            RemoteError::Connect { url: url.to_owned(), reason }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = retry_after.map(Duration::from_secs);
        let mut body = response.text().await.unwrap_or_default();
        if let Some((end, _)) = body.char_indices().nth(EXCERPT) {
            body.truncate(end);
        }
        Err(RemoteError::Status { status: status.as_u16(), body, retry_after })
    }

    /// Tries until it works, will not work, or the deadline passes.
    pub(super) async fn retrying<T, F: Future<Output = Result<T, RemoteError>>>(
        &self,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, RemoteError> {
        let mut retries = Retries::new(&self.config, &self.rate);
        loop {
            match retries.attempt(attempt()).await {
                Ok(value) => return Ok(value),
                Err(error) => retries.after(error).await?,
            }
        }
    }
}

fn with_logprobs(request: &RemoteRequest, answer: RemoteAnswer) -> Result<RemoteAnswer, RemoteError> {
    let missing = request.logprobs && answer.tokens.is_empty() && !answer.text.is_empty();
    if missing { Err(RemoteError::NoLogprobs) } else { Ok(answer) }
}

/// The last cause of an error says what happened; those before it say that something happened.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
