//! Qwen2 and Qwen2.5: Llama with biases on query, key and value, and an optional sliding window in the later layers.

use super::config::{Architecture, ModelConfig};
use super::hf_config::HfConfig;

pub(crate) fn config(hf: &HfConfig) -> Result<ModelConfig, String> {
    let mut config = hf.common(Architecture::Qwen2, hf.hidden_act.as_deref().or(Some("silu")))?;
    config.qkv_bias = true;
    hf.late_windows(&mut config)?;
    Ok(config)
}
