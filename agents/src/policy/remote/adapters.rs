//! Pushing adapters to a running server: vLLM and SGLang load LoRA adapters from a folder that they can read.
//!
//! A version is loaded under a name of its own before the one before is dropped, so that requests under way finish with the
//! weights they began with.

use std::path::Path;

use serde_json::json;

use super::client::Client;
use super::error::RemoteError;

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Loads the adapter in `folder`, in PEFT format, as version `version` of `policy`, then drops the version before, if the
/// server still has it. Gives the name to ask for.
///
/// # Errors
/// The server refuses the new adapter; the one before then stays.
pub async fn push(
    client: &Client,
    server: Server,
    policy: &str,
    version: u64,
    folder: &Path,
) -> Result<String, RemoteError> {
    let name = served_name(policy, version);
    let body = json!({ "lora_name": name, "lora_path": folder.display().to_string() });
    accepted(client.post_url(&server.url(client, "load"), &body).await?)?;
    if let Some(before) = version.checked_sub(1) {
        let body = json!({ "lora_name": served_name(policy, before) });
        match client.post_url(&server.url(client, "unload"), &body).await {
            Ok(_) | Err(RemoteError::Status { status: 400 | 404, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(name)
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
