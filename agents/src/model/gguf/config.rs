//! The configuration in a GGUF file's metadata, as the fields of a Hugging Face `config.json`.

use serde_json::{Map, Value as Json, json};

use super::header::Header;
use crate::model::error::ModelError;

/// Translates metadata; `origin` names the file in errors.
pub(super) fn to_json(header: &Header, origin: &str) -> Result<Json, ModelError> {
    let fault = |reason: String| ModelError::Config { origin: origin.to_owned(), reason };
    let family = header.text("general.architecture").ok_or_else(|| fault("no `general.architecture`".to_owned()))?;
    let number = |key: &str| header.number(&format!("{family}.{key}"));
    let integer = |key: &str| header.integer(&format!("{family}.{key}"));
    let heads = integer("attention.head_count").unwrap_or_default();
    let hidden = integer("embedding_length").unwrap_or_default();
    let head_dim = integer("attention.key_length").or_else(|| hidden.checked_div(heads));
    if head_dim != integer("attention.value_length").or(head_dim) {
        return Err(fault("value heads of another width than key heads are not supported".to_owned()));
    }
    let rotated = integer("rope.dimension_count");
    if rotated.is_some() && rotated != head_dim {
        return Err(fault(format!("rotating {rotated:?} of {head_dim:?} values of a head is not supported")));
    }
    let vocabulary = header.tensors.get("token_embd.weight").and_then(|table| table.shape.first().copied());
    let tokens = || header.texts("tokenizer.ggml.tokens").map(|tokens| tokens.len() as i64);
    let layers = integer("block_count");
    let mut fields = Map::new();
    let mut set = |key: &str, value: Option<Json>| {
        if let Some(value) = value {
            fields.insert(key.to_owned(), value);
        }
    };
    set("model_type", Some(family.into()));
    set("hidden_size", integer("embedding_length").map(Json::from));
    set("num_hidden_layers", layers.map(Json::from));
    set("num_attention_heads", integer("attention.head_count").map(Json::from));
    set("num_key_value_heads", integer("attention.head_count_kv").map(Json::from));
    set("head_dim", head_dim.map(Json::from));
    set("intermediate_size", integer("feed_forward_length").map(Json::from));
    set("vocab_size", vocabulary.or_else(tokens).map(Json::from));
    set("max_position_embeddings", integer("context_length").map(Json::from));
    set("rms_norm_eps", number("attention.layer_norm_rms_epsilon").map(Json::from));
    set("rope_theta", number("rope.freq_base").map(Json::from));
    set("rope_scaling", rope_scaling(header, family));
    set("tie_word_embeddings", Some((!header.tensors.contains_key("output.weight")).into()));
    set("attention_bias", Some(header.tensors.contains_key("blk.0.attn_q.bias").into()));
    set("mlp_bias", Some(header.tensors.contains_key("blk.0.ffn_up.bias").into()));
    if family == "gemma3" {
        set("sliding_window", integer("attention.sliding_window").map(Json::from));
        // The files do not say it: only the 62-layer model scales by another width than the head's.
        let scaled_width = if layers == Some(62) { hidden.checked_div(heads) } else { head_dim };
        set("query_pre_attn_scalar", scaled_width.map(Json::from));
    }
    Ok(Json::Object(fields))
}

fn rope_scaling(header: &Header, family: &str) -> Option<Json> {
    let field = |key: &str| format!("{family}.rope.scaling.{key}");
    let kind = header.text(&field("type")).filter(|kind| *kind != "none")?;
    let mut scaling = json!({"rope_type": kind});
    for (key, stored) in [
        ("factor", "factor"),
        ("original_max_position_embeddings", "original_context_length"),
        ("attention_factor", "attn_factor"),
        ("beta_fast", "yarn_beta_fast"),
        ("beta_slow", "yarn_beta_slow"),
    ] {
        if let Some(value) = header.number(&field(stored)) {
            scaling[key] = value.into();
        }
    }
    Some(scaling)
}
