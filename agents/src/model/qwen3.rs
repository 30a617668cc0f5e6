//! Qwen3, dense: query and key heads are normalised before the rotation, and their width is free of the hidden size.

use super::config::{Architecture, ModelConfig};
use super::hf_config::HfConfig;

pub(crate) fn config(hf: &HfConfig) -> Result<ModelConfig, String> {
    let mut config = hf.common(Architecture::Qwen3, hf.hidden_act.as_deref().or(Some("silu")))?;
    if hf.head_dim.is_none() {
        config.head_dim = 128;
        config.query_scale = 128_f64.powf(-0.5);
    }
    config.qk_norm = true;
    config.qkv_bias = hf.attention_bias.unwrap_or(false);
    config.output_bias = config.qkv_bias;
    hf.late_windows(&mut config)?;
    Ok(config)
}
