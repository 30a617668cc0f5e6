//! The JSON Schema of team files, made from the very declarations that read them.
//!
//! `schema/team.schema.json` is this, committed, so that editors can complete and check team files.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::spec::TeamSpec;

/// The schema of a team file (JSON Schema 2020-12).
pub fn team_schema() -> Value {
    schema_of::<TeamSpec>()
}

/// The schema of a file that is read into `T`, a type declared with [`table!`](crate::table!).
pub fn schema_of<T: JsonSchema>() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
    without_null(&mut schema);
    schema
}

/// Keys may be absent but never null: TOML has no such value.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(members) => {
            if let Some(Value::Array(kinds)) = members.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [only] = kinds.as_slice() {
                    let only = only.clone();
                    members.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [only] = choices.as_mut_slice() {
                    let only = only.take();
                    members.remove("anyOf");
                    if let Value::Object(only) = only {
                        members.extend(only);
                    }
                }
            }
            members.values_mut().for_each(without_null);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/team.schema.json");

    /// `UPDATE_SCHEMA=1 cargo test -p marft-topologies schema` rewrites the file.
    #[test]
    fn the_committed_schema_is_the_generated_one() {
        let mut generated = serde_json::to_string_pretty(&team_schema()).unwrap();
        generated.push('\n');
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            fs_err::write(COMMITTED, &generated).unwrap();
        }
        assert_eq!(fs_err::read_to_string(COMMITTED).unwrap(), generated, "run it again with UPDATE_SCHEMA=1");
    }

    #[test]
    fn the_schema_takes_what_the_reader_takes_and_refuses_an_unknown_key() {
        let validator = jsonschema::validator_for(&team_schema()).unwrap();
        let json = |toml: &str| serde_json::to_value(toml::from_str::<toml::Table>(toml).unwrap()).unwrap();
        let good = r#"
            [team]
            name = "t"
            rounds = { max = 2, until = "a.ok" }
            [agents.a]
            role = "r"
            sees = ["task", "a@-1"]
            join = "any"
            output = { ok = { regex = "x", type = "boolean" }, y = "z" }
            on_parse_error = { retry = 2, then = "fail" }
            [functions.f]
            op = "rank"
            judge = "a"
            method = "pairwise"
            sees = ["a"]
        "#;
        let errors: Vec<_> = validator.iter_errors(&json(good)).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new());
        for (from, to) in [("op = \"rank\"", "op = \"wrong\""), ("role = \"r\"", "rôle = \"r\""), ("method", "methods")]
        {
            let bad = good.replace(from, to).replace("rôle", "\"rôle\"");
            assert!(!validator.is_valid(&json(&bad)), "{to}");
        }
    }
}
