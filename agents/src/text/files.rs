//! The text side of a Hugging Face folder: `tokenizer.json`, `tokenizer_config.json`, `generation_config.json` and the
//! places where chat templates have been kept.

use std::path::Path;

use serde_json::Value;
use tokenizers::Tokenizer;

use super::error::TextError;
use super::specials::SpecialTokens;
use super::tokenizer::{Text, TextParts};

impl Text {
    /// Reads the text side of a model folder.
    pub fn open_folder(folder: &Path) -> Result<Self, TextError> {
        let origin = folder.display().to_string();
        let fault = |reason: String| TextError::Tokenizer { origin: origin.clone(), reason };
        let path = folder.join("tokenizer.json");
        let bytes = fs_err::read(&path).map_err(|error| fault(error.to_string()))?;
        let mut tokenizer =
            Tokenizer::from_bytes(bytes).map_err(|error| fault(format!("`{}`: {error}", path.display())))?;
        // Settings of whoever saved it last: a prompt is never cut or filled here.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| fault(error.to_string()))?;
        let config = json(folder, "tokenizer_config.json").map_err(fault)?.unwrap_or_default();
        let mut end_ids = Vec::new();
        for name in ["generation_config.json", "config.json"] {
            let stated = json(folder, name).map_err(fault)?.unwrap_or_default();
            end_ids.extend(ids(&stated["eos_token_id"]));
        }
        let templates = templates(folder, &config).map_err(fault)?;
        Self::new(TextParts { origin, tokenizer, specials: SpecialTokens::from_config(&config), end_ids, templates })
    }
}

fn json(folder: &Path, name: &str) -> Result<Option<Value>, String> {
    let path = folder.join(name);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = fs_err::read(&path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("`{}`: {error}", path.display()))
}

/// One id or a list of ids.
fn ids(value: &Value) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Value::Array(values) => values.iter().filter_map(id).collect(),
        value => id(value).into_iter().collect(),
    }
}

/// Templates by name, from the newest place that has any: files of their own, then the tokenizer's configuration.
fn templates(folder: &Path, config: &Value) -> Result<Vec<(String, String)>, String> {
    let read = |path: &Path| fs_err::read_to_string(path).map_err(|error| error.to_string());
    let single = folder.join("chat_template.jinja");
    if single.exists() {
        let mut found = vec![("default".to_owned(), read(&single)?)];
        let tool_use = folder.join("additional_chat_templates").join("tool_use.jinja");
        if tool_use.exists() {
            found.push(("tool_use".to_owned(), read(&tool_use)?));
        }
        return Ok(found);
    }
    let older = json(folder, "chat_template.json")?.unwrap_or_default();
    let stated = if older["chat_template"].is_null() { &config["chat_template"] } else { &older["chat_template"] };
    Ok(match stated {
        Value::String(source) => vec![("default".to_owned(), source.clone())],
        Value::Array(entries) => {
            let text = |entry: &Value, key: &str| entry[key].as_str().map(str::to_owned);
            entries.iter().filter_map(|entry| Some((text(entry, "name")?, text(entry, "template")?))).collect()
        }
        _ => Vec::new(),
    })
}
