//! `config.json` of a Hugging Face checkpoint, read into a [`ModelConfig`].
//!
//! Fields keep their names there. GGUF metadata is translated into the same fields, so a family is described once.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::config::{Activation, Architecture, ModelConfig};
use super::error::ModelError;
use super::rope_config;
use super::{gemma3, llama, qwen2, qwen3};

/// The fields of `config.json` that describe a decoder; any other field is left alone.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct HfConfig {
    pub(crate) hidden_size: usize,
    pub(crate) num_hidden_layers: usize,
    pub(crate) num_attention_heads: usize,
    pub(crate) num_key_value_heads: Option<usize>,
    pub(crate) head_dim: Option<usize>,
    pub(crate) intermediate_size: usize,
    pub(crate) vocab_size: usize,
    pub(crate) max_position_embeddings: Option<usize>,
    pub(crate) rms_norm_eps: Option<f64>,
    pub(crate) rope_theta: Option<f64>,
    pub(crate) rope_local_base_freq: Option<f64>,
    /// The older place of the rope's scaling.
    pub(crate) rope_scaling: Option<Value>,
    /// The newer place of everything about the rope, by layer type in families that have several.
    pub(crate) rope_parameters: Option<Value>,
    pub(crate) tie_word_embeddings: Option<bool>,
    pub(crate) attention_bias: Option<bool>,
    pub(crate) mlp_bias: Option<bool>,
    pub(crate) hidden_act: Option<String>,
    pub(crate) hidden_activation: Option<String>,
    pub(crate) sliding_window: Option<usize>,
    pub(crate) sliding_window_pattern: Option<usize>,
    pub(crate) use_sliding_window: Option<bool>,
    pub(crate) max_window_layers: Option<usize>,
    pub(crate) layer_types: Option<Vec<String>>,
    pub(crate) query_pre_attn_scalar: Option<f64>,
    pub(crate) final_logit_softcapping: Option<f64>,
    pub(crate) attn_logit_softcapping: Option<f64>,
    pub(crate) partial_rotary_factor: Option<f64>,
    pub(crate) use_bidirectional_attention: Option<bool>,
}

impl ModelConfig {
    /// Reads a `config.json`.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let text = fs_err::read_to_string(path).map_err(|error| ModelError::read(path, error))?;
        let json = serde_json::from_str(&text).map_err(|error| ModelError::damaged(path, error.to_string()))?;
        Self::from_json(json, &path.display().to_string())
    }

    /// Reads the value of a `config.json`; `origin` names it in errors. Of a model with several parts, the text part.
    pub fn from_json(mut json: Value, origin: &str) -> Result<Self, ModelError> {
        if let Some(text) = json.get_mut("text_config") {
            json = text.take();
        }
        let fault = |reason: String| ModelError::Config { origin: origin.to_owned(), reason };
        let family = json.get("model_type").and_then(Value::as_str).unwrap_or("unnamed");
        let read = match family {
            "llama" => llama::config,
            "qwen2" => qwen2::config,
            "qwen3" => qwen3::config,
            "gemma3" | "gemma3_text" => gemma3::config,
            other => return Err(ModelError::Architecture { origin: origin.to_owned(), found: other.to_owned() }),
        };
        let hf: HfConfig = serde_json::from_value(json).map_err(|error| fault(error.to_string()))?;
        let config = read(&hf).map_err(fault)?;
        config.check(origin)?;
        Ok(config)
    }
}

impl HfConfig {
    /// What all families share; a family changes what it does differently.
    pub(crate) fn common(&self, architecture: Architecture, activation: Option<&str>) -> Result<ModelConfig, String> {
        for (name, value) in [
            ("final_logit_softcapping", self.final_logit_softcapping),
            ("attn_logit_softcapping", self.attn_logit_softcapping),
            ("partial_rotary_factor", self.partial_rotary_factor.filter(|&factor| factor != 1.0)),
        ] {
            if let Some(value) = value {
                return Err(format!("`{name}` = {value} is not supported"));
            }
        }
        let activation = match activation {
            Some("silu" | "swish") => Activation::Silu,
            Some("gelu_pytorch_tanh") => Activation::GeluTanh,
            other => return Err(format!("activation `{}` is not supported", other.unwrap_or("none"))),
        };
        if self.num_attention_heads == 0 {
            return Err("`num_attention_heads` is 0".to_owned());
        }
        let head_dim = self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads);
        Ok(ModelConfig {
            architecture,
            hidden: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            head_dim,
            ffn: self.intermediate_size,
            vocab: self.vocab_size,
            context: self.max_position_embeddings.unwrap_or(2048),
            eps: self.rms_norm_eps.unwrap_or(1e-6),
            rope: rope_config::read(self, "full_attention", self.rope_theta.unwrap_or(1e4))?,
            local_rope: None,
            window: None,
            windowed: vec![false; self.num_hidden_layers.min(1 << 12)],
            tied: self.tie_word_embeddings.unwrap_or(false),
            qkv_bias: false,
            output_bias: false,
            mlp_bias: false,
            qk_norm: false,
            offset_norm: false,
            post_norms: false,
            activation,
            query_scale: (head_dim as f64).powf(-0.5),
            embedding_scale: None,
        })
    }

    /// Which layers use the sliding window, where the file lists them.
    pub(crate) fn listed_windows(&self) -> Result<Option<Vec<bool>>, String> {
        let read = |kind: &String| match kind.as_str() {
            "sliding_attention" => Ok(true),
            "full_attention" => Ok(false),
            other => Err(format!("layer type `{other}` is not supported")),
        };
        self.layer_types.as_ref().map(|kinds| kinds.iter().map(read).collect()).transpose()
    }

    /// Windows of the Qwen families: off unless asked for, and then from layer `max_window_layers` on.
    pub(crate) fn late_windows(&self, config: &mut ModelConfig) -> Result<(), String> {
        if self.use_sliding_window != Some(true) {
            return Ok(());
        }
        let first = self.max_window_layers.unwrap_or(config.layers);
        let by_depth = || (0..config.windowed.len()).map(|layer| layer >= first).collect();
        config.windowed = self.listed_windows()?.unwrap_or_else(by_depth);
        config.window = self.sliding_window;
        Ok(())
    }
}
