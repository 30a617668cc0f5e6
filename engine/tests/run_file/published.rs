//! The published schema takes what the reader takes, and refuses what it refuses.

use marft_engine::settings::file::schema;
use serde_json::Value;

use crate::folder::{Folder, GOOD};

fn json(text: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
}

#[test]
fn the_schema_takes_what_is_right_and_refuses_an_unknown_key() {
    let folder = Folder::new();
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let more = r#"
        [train]
        lr = 1e-4
        max_steps = 3
        budget = { seconds = 60 }
        [algorithm]
        preset = "marft-t"
        gae_lambda = 0.9
        [algorithm.agents.keeper]
        entropy_coeff = 0.02
        [[stages]]
        kind = "sft"
        demonstrations = "demonstrations.jsonl"
        lr = 1e-3
        [[stages]]
        kind = "rl"
        frozen = "asker"
    "#;
    let text =
        format!("{GOOD}{more}").replace(r#"{ hash = { by = "country", held_out = 0.4 } }"#, r#"{ column = "split" }"#);
    folder.good(&text, &[]);
    let errors: Vec<_> = validator.iter_errors(&json(&text)).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    for (from, to) in
        [("max_steps", "max_stps"), ("\"sft\"", "\"dpo\""), ("gae_lambda", "gae_lamda"), ("files", "fils")]
    {
        let wrong = text.replace(from, to);
        assert!(folder.load(&wrong, &[]).is_err() && !validator.is_valid(&json(&wrong)), "{to}");
    }
}
