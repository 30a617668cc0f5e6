//! GGUF files: one file that holds weights (mostly quantised), configuration, tokenizer and chat template.
//!
//! Layout: [the GGUF specification](https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), versions 2 and 3, little
//! endian. Weights are dequantised when they are placed.

mod blocks;
mod config;
mod format;
mod header;
mod k_blocks;
mod names;
mod source;
mod value;

pub use format::Format;
pub use header::Header;
pub use source::GgufSource;
pub use value::Value;
