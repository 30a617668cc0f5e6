//! Tests of tokenizers and templates against transformers, and of streaming.

mod streaming;
mod templates;
