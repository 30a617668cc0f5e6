//! Pushing adapters to a running server: vLLM and SGLang load LoRA adapters from a folder that they can read.
//!
//! A version is loaded under a name of its own before the one before is dropped, so that requests under way finish with the
//! weights they began with.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::Client;
use super::error::RemoteError;

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Server {
    /// vLLM, started with `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`.
    Vllm,
    /// SGLang, started with `--enable-lora`.
    Sglang,
}

impl Server {
    /// vLLM's paths stand below the version, SGLang's beside it.
    fn url(self, client: &Client, verb: &str) -> String {
        let base = client.config().base_url.trim_end_matches('/');
        match self {
            Self::Vllm => format!("{base}/{verb}_lora_adapter"),
            Self::Sglang => format!("{}/{verb}_lora_adapter", base.strip_suffix("/v1").unwrap_or(base)),
        }
    }
}

/// The name under which a version of a policy is served.
pub fn served_name(policy: &str, version: u64) -> String {
    format!("{policy}-v{version}")
}

/// An adapter that a server has taken on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The name to ask for, and to give among those before at the next push.
    pub name: String,
    /// Which of those before could not be dropped, and why: they take up places on the server until somebody drops them, as
    /// the next push does that is given their names.
    pub kept: Vec<(String, RemoteError)>,
}

/// Loads the adapter in `folder`, in PEFT format, as version `version` of `policy`, then drops the adapters called `before`, as
/// far as the server still has them. One of them that has the name of the new one goes first: it holds other weights. Every call
/// is tried again within the client's deadline, as any other.
///
/// # Errors
/// The server refuses the new adapter, or does not answer in time; those before then stay.
pub async fn push(
    client: &Client,
    server: Server,
    policy: &str,
    version: u64,
    folder: &Path,
    before: &[String],
) -> Result<Pushed, RemoteError> {
    let name = served_name(policy, version);
    if before.contains(&name) {
        unload(client, server, &name).await?;
    }
    let (url, body) =
        (server.url(client, "load"), json!({ "lora_name": name, "lora_path": folder.display().to_string() }));
    let mut attempts = 0;
    client
        .retrying(|| {
            attempts += 1;
            let (again, url, body) = (attempts > 1, &url, &body);
            async move {
                match client.post_url(url, body).await.and_then(accepted) {
                    // an attempt whose answer was lost had loaded it
                    Err(RemoteError::Status { body, .. }) if again && body.contains("already") => Ok(()),
                    outcome => outcome,
                }
            }
        })
        .await?;
    let mut kept = vec![];
    for previous in before.iter().filter(|previous| **previous != name) {
        if let Err(error) = unload(client, server, previous).await {
            kept.push((previous.clone(), error));
        }
    }
    Ok(Pushed { name, kept })
}

/// Drops the adapter called `name`; one that the server does not have is dropped already.
async fn unload(client: &Client, server: Server, name: &str) -> Result<(), RemoteError> {
    let (url, body) = (server.url(client, "unload"), json!({ "lora_name": name }));
    match client.retrying(|| async { client.post_url(&url, &body).await.and_then(accepted) }).await {
        Err(RemoteError::Status { status: 400 | 404, .. }) => Ok(()),
        outcome => outcome,
    }
}

/// SGLang answers 200 with `success: false`.
fn accepted(answer: serde_json::Value) -> Result<(), RemoteError> {
    if answer.get("success") == Some(&json!(false)) {
        let body = answer
            .get("error_message")
            .map_or_else(|| answer.to_string(), |message| super::response::text(Some(message)));
        return Err(RemoteError::Status { status: 200, body, retry_after: None });
    }
    Ok(())
}
