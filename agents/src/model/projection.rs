//! The linear layers of a decoder by name, and how they are grouped into matrix products.
//!
//! Query, key and value read the same rows, and so do gate and up: each group is one product. An adapter is asked once per
//! group, with the columns of each member known.

use super::config::ModelConfig;

/// One linear layer, as adapters and files name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Projection {
    /// `q_proj`.
    Query,
    /// `k_proj`.
    Key,
    /// `v_proj`.
    Value,
    /// `o_proj`.
    Output,
    /// `gate_proj`.
    Gate,
    /// `up_proj`.
    Up,
    /// `down_proj`.
    Down,
    /// `lm_head`.
    Head,
}

impl Projection {
    /// Every projection, in the order of the forward pass.
    pub const ALL: [Self; 8] =
        [Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down, Self::Head];

    /// The layer's name in Hugging Face checkpoints, without its path: `q_proj`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "q_proj",
            Self::Key => "k_proj",
            Self::Value => "v_proj",
            Self::Output => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
            Self::Head => "lm_head",
        }
    }

    /// The layer's full name in Hugging Face checkpoints, without `.weight`: `model.layers.3.self_attn.q_proj`.
    pub fn path(self, layer: usize) -> String {
        match self {
            Self::Query | Self::Key | Self::Value | Self::Output => {
                format!("model.layers.{layer}.self_attn.{}", self.name())
            }
            Self::Gate | Self::Up | Self::Down => format!("model.layers.{layer}.mlp.{}", self.name()),
            Self::Head => self.name().to_owned(),
        }
    }

    /// `(in, out)`: the layer reads rows of `in` values and writes rows of `out`.
    pub fn widths(self, config: &ModelConfig) -> (usize, usize) {
        let (q, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        match self {
            Self::Query => (config.hidden, q),
            Self::Key | Self::Value => (config.hidden, kv),
            Self::Output => (q, config.hidden),
            Self::Gate | Self::Up => (config.hidden, config.ffn),
            Self::Down => (config.ffn, config.hidden),
            Self::Head => (config.hidden, config.vocab),
        }
    }
}

/// A group of projections that is one matrix product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Site {
    /// Query, key and value side by side.
    Qkv,
    /// The attention output.
    Output,
    /// Gate and up side by side.
    GateUp,
    /// The way back to the residual stream.
    Down,
    /// The output head; its layer number is the number of layers.
    Head,
}

impl Site {
    /// Every site, in the order of the forward pass.
    pub const ALL: [Self; 5] = [Self::Qkv, Self::Output, Self::GateUp, Self::Down, Self::Head];

    /// The members, in the order of their columns in the product.
    pub fn projections(self) -> &'static [Projection] {
        match self {
            Self::Qkv => &[Projection::Query, Projection::Key, Projection::Value],
            Self::Output => &[Projection::Output],
            Self::GateUp => &[Projection::Gate, Projection::Up],
            Self::Down => &[Projection::Down],
            Self::Head => &[Projection::Head],
        }
    }
}
