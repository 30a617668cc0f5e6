//! The JSON Schema of run files, made from the very declarations that read them.
//!
//! `docs/run-file.schema.json` is this, committed, so that editors can complete and check run files. The settings of a
//! reward term's kind and of an environment's are free in it: only the program that registers a kind knows them.

use marft_algorithms::preset::{Algorithm, PRESETS};
use serde_json::{Map, Value, json};

use super::aliases::ALIASES;
use super::typed::RunFile;

/// The schema of a run file (JSON Schema 2020-12).
pub fn schema() -> Value {
    let mut schema = marft_topologies::schema::schema_of::<RunFile>();
    for (alias, name) in ALIASES {
        let Some(mut same) = find(&mut schema, name).cloned() else { continue };
        let (table, alias) = alias.rsplit_once('.').unwrap_or(("", alias));
        if let Value::Object(same) = &mut same {
            same.insert("description".to_owned(), format!("Another name of `{name}`.").into());
        }
        if let Some(Value::Object(keys)) = find(&mut schema, table).and_then(|table| table.get_mut("properties")) {
            keys.insert(alias.to_owned(), same);
        }
    }
    schema
}

/// The schema of what stands at a path of keys; `*` is any element or entry.
fn find<'s>(schema: &'s mut Value, path: &str) -> Option<&'s mut Value> {
    let mut pointer = String::new();
    for key in path.split('.').filter(|key| !key.is_empty()) {
        let step = match key {
            "*" if schema.pointer(&pointer)?.get("items").is_some() => "/items".to_owned(),
            "*" => "/additionalProperties".to_owned(),
            key => format!("/properties/{key}"),
        };
        pointer += &step;
        let reference = schema.pointer(&pointer)?.get("$ref").and_then(Value::as_str);
        if let Some(reference) = reference {
            pointer = reference.trim_start_matches('#').to_owned();
        }
    }
    schema.pointer_mut(&pointer)
}

/// Every key that an algorithm takes.
pub(super) fn algorithm_keys() -> Map<String, Value> {
    let defaults = serde_json::to_value(Algorithm::default()).unwrap_or_default();
    let own = |name: &str| match (name, defaults.get(name)) {
        ("preset", _) => json!({ "type": "string", "examples": PRESETS }),
        ("defaults", _) => json!({ "enum": ["marft", "trl", "verl"] }),
        ("sampling_metric", _) => json!({ "type": "string" }),
        ("reward_clip", _) => json!({ "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 }),
        (_, Some(Value::Array(_))) => json!({ "type": "array", "items": { "type": "string" } }),
        (_, Some(Value::Bool(_))) => json!({ "type": "boolean" }),
        (_, Some(Value::String(_))) => json!({ "type": "string" }),
        (_, Some(Value::Number(number))) if number.is_u64() => json!({ "type": "integer", "minimum": 0 }),
        _ => json!({ "type": "number" }),
    };
    let key = |(key, settings): (&str, Vec<&str>)| {
        let schema = match settings.as_slice() {
            [] => json!({}),
            [only] => own(only),
            [first, ..] => own(first),
        };
        (key.to_owned(), schema)
    };
    let mut keys: Map<String, Value> = Algorithm::keys().into_iter().map(key).collect();
    keys.insert("kl_ctrl".to_owned(), kl_control());
    keys
}

/// How the coefficient of a divergence is steered.
fn kl_control() -> Value {
    let number = json!({ "type": "number" });
    let names = ["kl_coef", "init_kl_coef", "target_kl", "kl_target", "target", "horizon"];
    let mut properties: Map<String, Value> = names.into_iter().map(|name| (name.to_owned(), number.clone())).collect();
    properties.insert("type".to_owned(), json!({ "enum": ["fixed", "adaptive"] }));
    json!({
        "description": "How the coefficient of the divergence from the reference is steered.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/run-file.schema.json");
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/run-file.md");

    /// `UPDATE_SCHEMA=1 cargo test -p marft-engine schema` rewrites the file.
    #[test]
    fn the_committed_schema_is_the_generated_one() {
        let mut generated = serde_json::to_string_pretty(&schema()).unwrap();
        generated.push('\n');
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            fs_err::write(COMMITTED, &generated).unwrap();
        }
        assert_eq!(fs_err::read_to_string(COMMITTED).unwrap(), generated, "run it again with UPDATE_SCHEMA=1");
    }

    #[test]
    fn every_alias_leads_to_a_key() {
        let mut schema = schema();
        for (alias, name) in ALIASES {
            assert!(find(&mut schema, name).is_some(), "{name}");
            assert!(find(&mut schema, alias).is_some(), "{alias}");
        }
    }

    #[test]
    fn the_page_names_every_key() {
        let page = fs_err::read_to_string(PAGE).unwrap();
        let mut missing = Vec::new();
        let mut tables = vec![schema()];
        if let Some(Value::Object(inner)) = tables[0].get("$defs").cloned() {
            tables.extend(inner.into_iter().map(|(_, table)| table));
        }
        for table in &tables {
            let keys = table["properties"].as_object().into_iter().flat_map(Map::keys);
            missing.extend(keys.filter(|key| !page.contains(&format!("`{key}`"))).cloned());
        }
        assert_eq!(missing, Vec::<String>::new());
    }
}
