//! One name or a list of names.

use marft_topologies::source::Spanned;
use marft_topologies::spec::read::{Read, Reader, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use toml::de::DeValue;

/// One name or a list of names.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct OneOrMany(pub Vec<Spanned<String>>);

impl Read for OneOrMany {
    fn read(value: Value<'_, '_>, reader: &mut Reader) -> Option<Self> {
        match value.value {
            DeValue::String(text) => Some(Self(vec![Spanned::new(text.clone().into_owned(), value.span)])),
            DeValue::Array(_) => Vec::read(value, reader).map(Self),
            _ => {
                reader.wrong_type(value, "a string or a list of strings");
                None
            }
        }
    }
}

impl JsonSchema for OneOrMany {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
        })
    }
}
