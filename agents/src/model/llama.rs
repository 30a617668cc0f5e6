//! Llama 1 to 3, and what copies it: the plain block, with biases only where the file says so.

use super::config::{Architecture, ModelConfig};
use super::hf_config::HfConfig;

pub(crate) fn config(hf: &HfConfig) -> Result<ModelConfig, String> {
    let mut config = hf.common(Architecture::Llama, hf.hidden_act.as_deref().or(Some("silu")))?;
    config.qkv_bias = hf.attention_bias.unwrap_or(false);
    config.output_bias = config.qkv_bias;
    config.mlp_bias = hf.mlp_bias.unwrap_or(false);
    Ok(config)
}
