//! The shape of a decoder: everything that the weights alone do not say.
//!
//! All four families are one pre-norm transformer with a few switches, so the configuration holds the switches themselves
//! rather than a family name to branch on: the blocks never ask which architecture they serve.

use super::error::ModelError;

/// The families of decoders that can be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Architecture {
    /// Llama 1 to 3 and what copies it, SmolLM2 among them.
    Llama,
    /// Qwen2 and Qwen2.5.
    Qwen2,
    /// Qwen3, dense.
    Qwen3,
    /// Gemma 3, text part.
    Gemma3,
}

impl Architecture {
    /// The name used in `random:` texts and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 => "gemma3",
        }
    }
}

/// The non-linearity between the gate and the product in the feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)`.
    Silu,
    /// The tanh approximation of GELU.
    GeluTanh,
}

/// How rotary frequencies are stretched to reach beyond the context a model was first trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Every frequency divided by `factor`.
    Linear {
        /// Times the context is stretched.
        factor: f64,
    },
    /// Low frequencies divided by `factor`, high ones kept, those between interpolated (Llama 3.1).
    Llama3 {
        /// Times the context is stretched.
        factor: f64,
        /// Wavelengths above `original_context / low_freq_factor` are stretched fully.
        low_freq_factor: f64,
        /// Wavelengths below `original_context / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Context length before stretching, tokens.
        original_context: f64,
    },
    /// YaRN: a ramp between kept and stretched frequencies, and a temperature on attention
    /// ([Peng et al. 2023](https://arxiv.org/abs/2309.00071)).
    Yarn {
        /// Times the context is stretched.
        factor: f64,
        /// Rotations over the original context above which a frequency is kept.
        beta_fast: f64,
        /// Rotations below which it is stretched fully.
        beta_slow: f64,
        /// Context length before stretching, tokens.
        original_context: f64,
        /// Multiplies cosine and sine.
        attention_factor: f64,
        /// Whether the ends of the ramp are rounded to whole dimensions.
        truncate: bool,
    },
}

/// Rotary position embedding of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeConfig {
    /// Base of the geometric series of wavelengths.
    pub theta: f64,
    /// How it is stretched, if it is.
    pub scaling: Option<RopeScaling>,
}

/// The shape of a decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The family, for messages and exports.
    pub architecture: Architecture,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Inner width of the feed-forward part.
    pub ffn: usize,
    /// Rows of the embedding table.
    pub vocab: usize,
    /// Longest context that the configuration promises, tokens.
    pub context: usize,
    /// Added to the mean square in RMSNorm.
    pub eps: f64,
    /// Rotary embedding of layers that see the whole context.
    pub rope: RopeConfig,
    /// Rotary embedding of sliding-window layers, where it differs.
    pub local_rope: Option<RopeConfig>,
    /// Width of the sliding window in tokens (a token sees itself and `window − 1` before it).
    pub window: Option<usize>,
    /// Whether each layer uses the window; as long as `layers`.
    pub windowed: Vec<bool>,
    /// Whether the output head is the embedding table.
    pub tied: bool,
    /// Biases on the query, key and value projections.
    pub qkv_bias: bool,
    /// Bias on the attention output projection.
    pub output_bias: bool,
    /// Biases in the feed-forward part.
    pub mlp_bias: bool,
    /// RMSNorm over each query and key head before the rotation.
    pub qk_norm: bool,
    /// Norm weights are stored as the distance from one.
    pub offset_norm: bool,
    /// Norms after attention and after the feed-forward part, besides those before.
    pub post_norms: bool,
    /// Non-linearity of the feed-forward part.
    pub activation: Activation,
    /// Factor on attention scores.
    pub query_scale: f64,
    /// Factor on embeddings, where there is one.
    pub embedding_scale: Option<f64>,
}

/// Bounds on sizes: far above any model, far below what makes products of them overflow.
const LIMITS: [(&str, usize); 8] = [
    ("hidden size", 1 << 17),
    ("number of layers", 1 << 12),
    ("number of heads", 1 << 12),
    ("number of key-value heads", 1 << 12),
    ("head size", 1 << 12),
    ("feed-forward size", 1 << 20),
    ("vocabulary size", 1 << 24),
    ("context length", 1 << 26),
];

impl ModelConfig {
    /// Checks sizes against each other; `origin` names the file in the error.
    pub fn check(&self, origin: &str) -> Result<(), ModelError> {
        let fault = |reason: String| Err(ModelError::Config { origin: origin.to_owned(), reason });
        let sizes =
            [self.hidden, self.layers, self.heads, self.kv_heads, self.head_dim, self.ffn, self.vocab, self.context];
        for ((name, limit), size) in LIMITS.into_iter().zip(sizes) {
            if size == 0 || size > limit {
                return fault(format!("{name} is {size}, which is not between 1 and {limit}"));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return fault(format!("{} heads cannot share {} key-value heads", self.heads, self.kv_heads));
        }
        if !self.head_dim.is_multiple_of(2) {
            return fault(format!("head size {} is odd, so it cannot be rotated", self.head_dim));
        }
        if self.windowed.len() != self.layers {
            return fault(format!("{} layer types for {} layers", self.windowed.len(), self.layers));
        }
        if self.windowed.contains(&true) && self.window.is_none_or(|window| window == 0) {
            return fault("layers with a sliding window, but no window size".to_owned());
        }
        let mut numbers = vec![("norm epsilon", self.eps), ("query scale", self.query_scale)];
        numbers.extend(self.embedding_scale.map(|scale| ("embedding scale", scale)));
        for rope in [Some(self.rope), self.local_rope].into_iter().flatten() {
            numbers.push(("rope theta", rope.theta));
            numbers.extend(rope.scaling.into_iter().flat_map(RopeScaling::positive_numbers));
        }
        match numbers.into_iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            Some((name, value)) => fault(format!("{name} is {value}, which is not a positive number")),
            None => Ok(()),
        }
    }

    /// The window of a layer: `None` where it sees the whole context.
    pub fn layer_window(&self, layer: usize) -> Option<usize> {
        if self.windowed[layer] { self.window } else { None }
    }

    /// Number of weights, a tied head counted once.
    pub fn parameters(&self) -> usize {
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let qkv_bias = if self.qkv_bias { q + 2 * kv } else { 0 };
        let output_bias = if self.output_bias { self.hidden } else { 0 };
        let mlp_bias = if self.mlp_bias { 2 * self.ffn + self.hidden } else { 0 };
        let head_norms = if self.qk_norm { 2 * self.head_dim } else { 0 };
        let norms = if self.post_norms { 4 } else { 2 } * self.hidden;
        let matrices = self.hidden * (2 * q + 2 * kv + 3 * self.ffn);
        let block = matrices + qkv_bias + output_bias + mlp_bias + head_norms + norms;
        let tables = if self.tied { 1 } else { 2 } * self.vocab * self.hidden;
        self.layers * block + tables + self.hidden
    }
}

impl RopeScaling {
    fn positive_numbers(self) -> Vec<(&'static str, f64)> {
        match self {
            Self::Linear { factor } => vec![("rope factor", factor)],
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => vec![
                ("rope factor", factor),
                ("low_freq_factor", low_freq_factor),
                ("high_freq_factor", high_freq_factor),
                ("original context", original_context),
            ],
            Self::Yarn { factor, beta_fast, beta_slow, original_context, attention_factor, truncate: _ } => vec![
                ("rope factor", factor),
                ("beta_fast", beta_fast),
                ("beta_slow", beta_slow),
                ("original context", original_context),
                ("attention factor", attention_factor),
            ],
        }
    }
}
