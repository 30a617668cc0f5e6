//! A reward term or an environment by its kind, with settings of its own, and how they are read into a type.

use std::cell::RefCell;

use marft_topologies::check::names::nearest;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, forward_to_deserialize_any};
use serde_json::{Map, Value};

/// The setting of a kind of tool that names a file beside the run file.
pub(crate) const FILE: &str = "file";

/// A reward term or environment by its kind, with settings of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kind {
    /// Which.
    pub kind: String,
    /// Its settings.
    pub settings: Map<String, Value>,
}

/// What is wrong with the settings of a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KindError {
    /// The setting at fault, where it is one.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl KindError {
    /// Something is wrong with the settings as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self { key: None, message: message.into(), help: None }
    }
}

impl Kind {
    /// Reads the settings into a type; say `#[serde(deny_unknown_fields)]` on it, so that no setting is without effect.
    ///
    /// # Errors
    /// The first setting that is unknown, missing or of a wrong type, by its key.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, KindError> {
        let trace = RefCell::new(Trace::default());
        let read = T::deserialize(Settings { map: &self.settings, trace: &trace });
        let Trace { fields, key } = trace.into_inner();
        read.map_err(|error| match key {
            Some(key) if !fields.contains(&key.as_str()) => {
                let help = match nearest(&key, fields.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if fields.is_empty() => "it has no settings of its own".to_owned(),
                    None => format!("its own settings are `{}`", fields.join("`, `")),
                };
                KindError {
                    message: format!("unknown key `{key}` of kind `{}`", self.kind),
                    key: Some(key),
                    help: Some(help),
                }
            }
            key => {
                let message = in_words(&error.to_string());
                let missing = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
                let help = missing.map(|field| format!("add `{field} = …`"));
                KindError { key, message, help }
            }
        })
    }
}

/// What serde says, for people who do not read Rust.
pub(super) fn in_words(message: &str) -> String {
    // Errors of several lines, such as those of regular expressions, come to the point in the last.
    let message = message.lines().next_back().unwrap_or_default().trim().trim_start_matches("error: ");
    let Some((found, expected)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    let expected = match expected {
        "f64" | "f32" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i32" | "i64" => "a whole number",
        "a sequence" => "a list",
        "a map" => "a table",
        other => other,
    };
    let found = found.trim_start_matches("invalid type: ").trim_start_matches("invalid value: ");
    let found = found.replacen("floating point", "number", 1).replacen("integer", "number", 1);
    format!("{found}, expected {expected}").replacen("sequence", "list", 1)
}

/// How far a type has read.
#[derive(Debug, Default)]
struct Trace {
    /// The fields that the type says it has.
    fields: &'static [&'static str],
    /// The key being read.
    key: Option<String>,
}

/// Settings as serde sees them, noting which key is being read: its errors do not say.
struct Settings<'a> {
    map: &'a Map<String, Value>,
    trace: &'a RefCell<Trace>,
}

impl<'de> Deserializer<'de> for Settings<'_> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_map(Entries { rest: self.map.iter(), value: None, trace: self.trace })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.trace.borrow_mut().fields = fields;
        self.deserialize_any(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Self::Error> {
        match self.map.keys().next() {
            None => visitor.visit_unit(),
            Some(key) => {
                self.trace.borrow_mut().key = Some(key.clone());
                Err(Self::Error::custom("it has no settings"))
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit newtype_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

struct Entries<'a> {
    rest: serde_json::map::Iter<'a>,
    value: Option<&'a Value>,
    trace: &'a RefCell<Trace>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        let next = self.rest.next();
        self.trace.borrow_mut().key = next.map(|(key, _)| key.clone());
        let Some((key, value)) = next else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(key.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Self::Error> {
        seed.deserialize(self.value.take().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        size: u32,
        #[serde(default)]
        word: String,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Nothing;

    fn kind(settings: &Value) -> Kind {
        Kind { kind: "example".to_owned(), settings: settings.as_object().unwrap().clone() }
    }

    #[test]
    fn errors_name_their_key() {
        let fault = |settings: &Value| {
            let error = kind(settings).read::<Example>().unwrap_err();
            (error.key, error.message, error.help)
        };
        assert_eq!(kind(&json!({"size": 3})).read(), Ok(Example { size: 3, word: String::new() }));
        let (key, message, help) = fault(&json!({"size": 3, "wrod": "x"}));
        assert_eq!((key.as_deref(), help.as_deref()), (Some("wrod"), Some("did you mean `word`?")));
        assert_eq!(message, "unknown key `wrod` of kind `example`");
        assert_eq!(fault(&json!({"size": -1})).0.as_deref(), Some("size"));
        let (key, message, _) = fault(&json!({"word": "x"}));
        assert_eq!((key, message.as_str()), (None, "missing field `size`"));
        assert_eq!(fault(&json!({"size": 0.5})).1, "number `0.5`, expected a whole number that is not negative");
    }

    #[test]
    fn a_kind_without_settings_takes_none() {
        assert_eq!(kind(&json!({})).read(), Ok(Nothing));
        let error = kind(&json!({"x": 1})).read::<Nothing>().unwrap_err();
        assert_eq!(error.help.as_deref(), Some("it has no settings of its own"));
    }
}
