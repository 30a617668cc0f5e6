//! Shapes by name: one tiny model of each family, and the published sizes that benches use.

use super::config::{Activation, Architecture, ModelConfig, RopeConfig};

/// The names that [`named`] knows.
pub const NAMES: [&str; 9] =
    ["llama", "qwen2", "qwen3", "gemma3", "smollm2-135m", "qwen2.5-0.5b", "qwen2.5-1.5b", "qwen3-0.6b", "gemma3-270m"];

/// The shape called `name`.
pub fn named(name: &str) -> Option<ModelConfig> {
    let (family, [hidden, layers, heads, kv_heads, head_dim, ffn], vocab, context, theta) = match name {
        "llama" => (Architecture::Llama, [64, 2, 4, 2, 16, 128], 320, 2048, 1e4),
        "qwen2" => (Architecture::Qwen2, [64, 2, 4, 2, 16, 128], 320, 2048, 1e6),
        "qwen3" => (Architecture::Qwen3, [64, 2, 4, 2, 32, 128], 320, 2048, 1e6),
        "gemma3" => (Architecture::Gemma3, [64, 6, 4, 1, 32, 128], 320, 2048, 1e6),
        "smollm2-135m" => (Architecture::Llama, [576, 30, 9, 3, 64, 1536], 49_152, 8192, 1e5),
        "qwen2.5-0.5b" => (Architecture::Qwen2, [896, 24, 14, 2, 64, 4864], 151_936, 32_768, 1e6),
        "qwen2.5-1.5b" => (Architecture::Qwen2, [1536, 28, 12, 2, 128, 8960], 151_936, 32_768, 1e6),
        "qwen3-0.6b" => (Architecture::Qwen3, [1024, 28, 16, 8, 128, 3072], 151_936, 40_960, 1e6),
        "gemma3-270m" => (Architecture::Gemma3, [640, 18, 4, 1, 256, 2048], 262_144, 32_768, 1e6),
        _ => return None,
    };
    let gemma = family == Architecture::Gemma3;
    let tiny_window = if layers == 6 { 8 } else { 512 };
    Some(ModelConfig {
        architecture: family,
        hidden,
        layers,
        heads,
        kv_heads,
        head_dim,
        ffn,
        vocab,
        context,
        eps: if family == Architecture::Llama { 1e-5 } else { 1e-6 },
        rope: RopeConfig { theta, scaling: None },
        local_rope: gemma.then_some(RopeConfig { theta: 1e4, scaling: None }),
        window: gemma.then_some(tiny_window),
        windowed: (0..layers).map(|layer| gemma && layer % 6 != 5).collect(),
        tied: true,
        qkv_bias: family == Architecture::Qwen2,
        output_bias: false,
        mlp_bias: false,
        qk_norm: gemma || family == Architecture::Qwen3,
        offset_norm: gemma,
        post_norms: gemma,
        activation: if gemma { Activation::GeluTanh } else { Activation::Silu },
        query_scale: (head_dim as f64).powf(-0.5),
        embedding_scale: gemma.then(|| (hidden as f64).sqrt()),
    })
}
