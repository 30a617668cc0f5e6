//! A shape as the fields of a Hugging Face `config.json`: the inverse of reading one.

use serde_json::{Value, json};
use tch::Kind;

use super::config::{Activation, Architecture, ModelConfig, RopeConfig, RopeScaling};
use super::error::ModelError;

impl ModelConfig {
    /// The fields of `config.json` for a checkpoint of this shape whose weights are stored as `kind`.
    ///
    /// # Errors
    /// The shape is one that no file of its family can say: reading the fields back would give another one.
    pub fn to_json(&self, kind: Kind) -> Result<Value, ModelError> {
        let (model, class) = match self.architecture {
            Architecture::Llama => ("llama", "LlamaForCausalLM"),
            Architecture::Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
            Architecture::Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
            Architecture::Gemma3 => ("gemma3_text", "Gemma3ForCausalLM"),
        };
        let activation = match self.activation {
            Activation::Silu => "silu",
            Activation::GeluTanh => "gelu_pytorch_tanh",
        };
        let mut fields = json!({
            "architectures": [class],
            "model_type": model,
            "torch_dtype": dtype(kind),
            "vocab_size": self.vocab,
            "hidden_size": self.hidden,
            "intermediate_size": self.ffn,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.context,
            "rms_norm_eps": self.eps,
            "rope_theta": self.rope.theta,
            "tie_word_embeddings": self.tied,
        });
        let mut set = |key: &str, value: Value| fields[key] = value;
        if let Some(scaling) = self.rope.scaling {
            set("rope_scaling", rope_scaling(scaling));
        }
        let windows = || -> Value {
            let name = |windowed: &bool| if *windowed { "sliding_attention" } else { "full_attention" };
            self.windowed.iter().map(name).collect()
        };
        match self.architecture {
            Architecture::Llama => {
                set("hidden_act", activation.into());
                set("attention_bias", self.qkv_bias.into());
                set("mlp_bias", self.mlp_bias.into());
            }
            Architecture::Qwen2 | Architecture::Qwen3 => {
                set("hidden_act", activation.into());
                if self.architecture == Architecture::Qwen3 {
                    set("attention_bias", self.qkv_bias.into());
                }
                set("use_sliding_window", self.window.is_some().into());
                if let Some(window) = self.window {
                    set("sliding_window", window.into());
                    set("layer_types", windows());
                }
            }
            Architecture::Gemma3 => {
                set("hidden_activation", activation.into());
                set("attention_bias", self.qkv_bias.into());
                set("sliding_window", self.window.into());
                set("layer_types", windows());
                set("query_pre_attn_scalar", whole(self.query_scale.powi(-2)));
                if let Some(local) = self.local_rope {
                    set("rope_local_base_freq", local.theta.into());
                    // the newer place, where each kind of layer has all of its own
                    let ropes = json!({"full_attention": rope(self.rope), "sliding_attention": rope(local)});
                    set("rope_parameters", ropes);
                }
            }
        }
        let origin = format!("a config.json of {}", self.architecture.name());
        let read = Self::from_json(fields.clone(), &origin)?;
        if read != *self {
            let reason = format!("it cannot say {self:?}; it would be read as {read:?}");
            return Err(ModelError::Config { origin, reason });
        }
        Ok(fields)
    }
}

/// The name of a type in `config.json`.
fn dtype(kind: Kind) -> &'static str {
    match kind {
        Kind::BFloat16 => "bfloat16",
        Kind::Half => "float16",
        _ => "float32",
    }
}

fn rope(config: RopeConfig) -> Value {
    let mut parameters = config.scaling.map_or_else(|| json!({"rope_type": "default"}), rope_scaling);
    parameters["rope_theta"] = config.theta.into();
    parameters
}

fn rope_scaling(scaling: RopeScaling) -> Value {
    match scaling {
        RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low_freq_factor,
            "high_freq_factor": high_freq_factor,
            "original_max_position_embeddings": whole(original_context),
        }),
        RopeScaling::Yarn { factor, beta_fast, beta_slow, original_context, attention_factor, truncate } => json!({
            "rope_type": "yarn",
            "factor": factor,
            "beta_fast": beta_fast,
            "beta_slow": beta_slow,
            "original_max_position_embeddings": whole(original_context),
            "attention_factor": attention_factor,
            "truncate": truncate,
        }),
    }
}

/// A number that readers expect to be whole, as a whole number where it is one up to rounding.
fn whole(number: f64) -> Value {
    let rounded = number.round();
    if (number - rounded).abs() <= 1e-9 * rounded.abs() { (rounded as u64).into() } else { number.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shapes;

    #[test]
    fn every_shape_is_read_back_as_it_was() {
        let scalings = [
            RopeScaling::Linear { factor: 8.0 },
            RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 8192.0 },
            RopeScaling::Yarn {
                factor: 4.0,
                beta_fast: 32.0,
                beta_slow: 1.0,
                original_context: 32_768.0,
                attention_factor: 1.138_629_436_111_989,
                truncate: false,
            },
        ];
        for name in shapes::NAMES {
            let plain = shapes::named(name).unwrap();
            let mut shapes = vec![plain.clone(), ModelConfig { tied: !plain.tied, ..plain.clone() }];
            shapes.extend(scalings.map(|scaling| {
                let rope = RopeConfig { scaling: Some(scaling), ..plain.rope };
                ModelConfig { rope, ..plain.clone() }
            }));
            if plain.architecture == Architecture::Qwen3 {
                let windowed = (0..plain.layers).map(|layer| layer > 0).collect();
                shapes.push(ModelConfig { window: Some(64), windowed, qkv_bias: true, output_bias: true, ..plain });
            }
            for shape in shapes {
                let json = shape.to_json(Kind::BFloat16).unwrap();
                assert_eq!(ModelConfig::from_json(json.clone(), name).unwrap(), shape, "{name}");
                assert_eq!(
                    (&json["torch_dtype"], &json["tie_word_embeddings"]),
                    (&"bfloat16".into(), &shape.tied.into())
                );
            }
        }
    }

    #[test]
    fn a_shape_without_words_is_refused() {
        let shape = ModelConfig { qk_norm: true, ..shapes::named("llama").unwrap() };
        let refused = shape.to_json(Kind::Float).unwrap_err().to_string();
        assert!(refused.contains("it cannot say") && refused.contains("llama"), "{refused}");
    }

    #[test]
    fn scales_that_rounding_has_touched_are_whole_again() {
        let shape = ModelConfig { query_scale: 168_f64.powf(-0.5), ..shapes::named("gemma3").unwrap() };
        assert_eq!(shape.to_json(Kind::Float).unwrap()["query_pre_attn_scalar"], 168);
    }
}
