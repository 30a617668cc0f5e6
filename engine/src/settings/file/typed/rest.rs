//! Tables of which this format knows some keys and leaves the rest to others: reward terms, environments, algorithms.

use std::borrow::Cow;

use marft_topologies::source::Spanned;
use marft_topologies::spec::read::{Fields, Read, ReadFields, Reader, Value};
use marft_topologies::spec::{Json, Named};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::{EnvironmentKeys, RewardKeys, ToolKeys};

/// The entries of a table but `known`, as JSON.
fn rest(fields: &mut Fields<'_, '_>, known: &[&str], reader: &mut Reader) -> Named<Json> {
    fields.accept_all();
    let mut rest = Vec::new();
    for (name, range, value) in fields.entries().filter(|(name, ..)| !known.contains(name)) {
        let value = Value { value: value.get_ref(), span: reader.span(value.span()) };
        let name = Spanned::new(name.to_owned(), reader.span(range));
        rest.extend(Json::read(value, reader).map(|read| (name, Spanned::new(read, value.span))));
    }
    Named(rest)
}

macro_rules! with_rest {
    ($(#[$meta:meta])* $name:ident: $keys:ty) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize)]
        pub struct $name {
            /// The keys of this format.
            #[serde(flatten)]
            pub keys: $keys,
            /// The settings of the kind.
            #[serde(flatten)]
            pub rest: Named<Json>,
        }

        impl ReadFields for $name {
            fn read_fields(fields: &mut Fields<'_, '_>, reader: &mut Reader) -> Self {
                let keys = <$keys>::read_fields(fields, reader);
                Self { keys, rest: rest(fields, <$keys>::NAMES, reader) }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let mut schema = <$keys>::json_schema(generator);
                schema.remove("additionalProperties");
                schema
            }
        }
    };
}

with_rest! {
    /// One reward term, with the settings of its kind inline.
    RewardFile: RewardKeys
}

with_rest! {
    /// One tool, with the settings of its kind inline.
    ToolFile: ToolKeys
}

with_rest! {
    /// The environment, with the settings of its kind inline.
    EnvironmentFile: EnvironmentKeys
}

/// The algorithm of all agents, and what is different for some.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Algorithms {
    /// `preset`, `defaults` and overrides.
    #[serde(flatten)]
    pub settings: Named<Json>,
    /// The same for single agents.
    pub agents: Named<Settings>,
}

/// Settings of one agent's algorithm.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Settings(pub Named<Json>);

impl Read for Settings {
    fn read(value: Value<'_, '_>, reader: &mut Reader) -> Option<Self> {
        Named::read(value, reader).map(Self)
    }
}

impl ReadFields for Algorithms {
    fn read_fields(fields: &mut Fields<'_, '_>, reader: &mut Reader) -> Self {
        let agents = fields.take("agents", reader).map(|agents| agents.value).unwrap_or_default();
        Self { settings: rest(fields, &["agents"], reader), agents }
    }
}

impl JsonSchema for Algorithms {
    fn schema_name() -> Cow<'static, str> {
        "Algorithms".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut own = crate::settings::file::schema::algorithm_keys();
        let one = serde_json::Value::Object(own.clone());
        let agents = serde_json::json!({
            "description": "Overrides for single agents, by label.",
            "type": "object",
            "additionalProperties": { "type": "object", "properties": one, "additionalProperties": false },
        });
        own.insert("agents".to_owned(), agents);
        schemars::json_schema!({
            "description": "The algorithm of all agents, and what is different for some.",
            "type": "object",
            "properties": own,
            "additionalProperties": false,
        })
    }
}
