//! Gemma 3, text part: five sliding-window layers to each that sees everything, each kind with its own rope; norms on both
//! sides of either part, stored as the distance from one; embeddings scaled by √hidden.

use super::config::{Architecture, ModelConfig};
use super::hf_config::HfConfig;
use super::rope_config;

pub(crate) fn config(hf: &HfConfig) -> Result<ModelConfig, String> {
    if hf.use_bidirectional_attention == Some(true) {
        return Err("`use_bidirectional_attention` is not supported".to_owned());
    }
    let activation = hf.hidden_activation.as_deref().or(Some("gelu_pytorch_tanh"));
    let mut config = hf.common(Architecture::Gemma3, activation)?;
    if hf.head_dim.is_none() {
        config.head_dim = 256;
    }
    config.query_scale = hf.query_pre_attn_scalar.unwrap_or(256.0).powf(-0.5);
    config.rope = rope_config::read(hf, "full_attention", hf.rope_theta.unwrap_or(1e6))?;
    config.local_rope = Some(rope_config::read(hf, "sliding_attention", hf.rope_local_base_freq.unwrap_or(1e4))?);
    let pattern = hf.sliding_window_pattern.unwrap_or(6).max(1);
    let by_pattern = || (0..config.windowed.len()).map(|layer| (layer + 1) % pattern != 0).collect();
    config.windowed = hf.listed_windows()?.unwrap_or_else(by_pattern);
    config.window = Some(hf.sliding_window.unwrap_or(4096));
    config.tied = hf.tie_word_embeddings.unwrap_or(true);
    config.qk_norm = true;
    config.qkv_bias = hf.attention_bias.unwrap_or(false);
    config.output_bias = config.qkv_bias;
    config.offset_norm = true;
    config.post_norms = true;
    config.embedding_scale = Some((config.hidden as f64).sqrt());
    Ok(config)
}
