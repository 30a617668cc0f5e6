//! Decoder-only transformers: their shape, their weights and the passes through them.

mod assemble;
mod attention;
mod block;
mod bytes;
mod causal;
mod config;
mod decoder;
mod error;
mod gemma3;
pub mod gguf;
mod head_norm;
mod hf_config;
mod hf_export;
mod linear;
mod llama;
mod mlp;
mod norm;
mod pass;
mod projection;
mod qwen2;
mod qwen3;
pub mod random;
mod rope;
mod rope_config;
mod safetensors;
mod score;
pub mod shapes;
mod source;
mod weight_file;

pub use causal::CausalAttend;
pub use config::{Activation, Architecture, ModelConfig, RopeConfig, RopeScaling};
pub use decoder::{Decoder, PassAngles, Placement};
pub use error::ModelError;
pub use linear::{Linear, TILE_ROWS};
pub use pass::{AdaptersOf, Attend, RowAdapters, Rows};
pub use projection::{Projection, Site};
pub use safetensors::SafetensorsSource;
pub use source::TensorSource;

#[cfg(test)]
mod tests;
