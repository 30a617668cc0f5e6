//! Text on its way to token ids and back: tokenizers, chat templates, streaming decoding.
//!
//! Text becomes ids once, when an observation is rendered. Sampled ids are never decoded and encoded again: decoding serves
//! parsers, people and logs.

mod byte_tokenizer;
mod chat_template;
mod clock;
mod detokenizer;
mod error;
mod export;
mod files;
mod gguf;
mod python_json;
mod sentencepiece;
mod specials;
#[cfg(test)]
mod tests;
mod token_table;
mod tokenizer;

pub use chat_template::{ChatTemplate, Conversation};
pub use detokenizer::Detokenizer;
pub use error::TextError;
pub use specials::SpecialTokens;
pub use token_table::TokenTable;
pub use tokenizer::{Text, TextParts};
