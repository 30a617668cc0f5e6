//! From what a user wrote to a checked [`Algorithm`]: preset, flavour, overrides in either vocabulary.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::names::{ALIASES, TRANSLATED, in_context, translate};
use super::{Algorithm, Defaults, PRESETS, PresetError, tables};
use crate::Result;

/// A setting as the user gave it: the name used, and the value in our terms.
type Given = BTreeMap<&'static str, (String, Value)>;

impl Algorithm {
    /// Resolves settings such as `{"preset": "grpo", "defaults": "verl", "clip_ratio": 0.1}`.
    ///
    /// `preset` defaults to `ppo`, `defaults` to `marft`. Every other key overrides one or several settings. Refuses
    /// unknown presets and keys with the nearest known name, two names of one setting that disagree, values of a wrong
    /// type or range, keys that the algorithm would not read, and settings that contradict one another.
    pub fn from_settings(settings: &Map<String, Value>) -> Result<Self> {
        let text = |key: &str, otherwise: &'static str| match settings.get(key) {
            None => Ok(otherwise.to_owned()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(value_error(key, other, "it takes a name")),
        };
        let name = text("preset", "ppo")?.to_lowercase().replace('_', "-");
        let defaults = text("defaults", "marft")?;
        let flavour: Defaults = serde_json::from_value(Value::String(defaults.clone()))
            .map_err(|_| value_error("defaults", &Value::String(defaults.clone()), "use marft, trl or verl"))?;
        if !PRESETS.contains(&name.as_str()) {
            let nearest = nearest(&name, PRESETS.iter().copied()).unwrap_or("ppo");
            return Err(PresetError::UnknownPreset { name, nearest }.into());
        }
        let Some(preset) = tables::values(&name, flavour) else {
            return Err(PresetError::NoSuchDefaults { name, defaults }.into());
        };
        let base = merge(&Self::default(), preset.as_object().into_iter().flatten())?;
        let given = canonical(settings, &base)?;
        let mut algorithm =
            merge(&base, given.iter().map(|(key, (_, value))| (*key, value))).map_err(|error| rename(error, &given))?;
        if let (Some(buffer), false) = (base.overlong_buffer, given.contains_key("overlong_buffer")) {
            algorithm.overlong_buffer = Some(in_proportion(buffer, base.max_completion_length, &algorithm));
        }
        algorithm.check()?;
        for (key, (written, _)) in &given {
            // a name for several settings with one value has an effect as soon as one of them is read
            let targets = ALIASES.iter().find(|(alias, _)| alias == written).map_or(&[][..], |(_, targets)| *targets);
            let read = |target: &&str| algorithm.unread(target).is_none();
            if let Some(reason) = algorithm.unread(key).filter(|_| !targets.iter().any(read)) {
                return Err(PresetError::Unread { key: written.clone(), reason }.into());
            }
        }
        Ok(algorithm)
    }

    /// Every key that [`from_settings`](Self::from_settings) takes, with the settings that it stands for: itself alone for
    /// settings by their own name, none for those whose value needs translation.
    pub fn keys() -> Vec<(&'static str, Vec<&'static str>)> {
        let own = ["preset", "defaults"].into_iter().chain(fields()).map(|field| (field, vec![field]));
        let aliases = ALIASES.iter().map(|(alias, settings)| (*alias, settings.to_vec()));
        own.chain(aliases).chain(TRANSLATED.iter().map(|name| (*name, Vec::new()))).collect()
    }
}

/// A preset's buffer is made for the limit of that preset: the same part of another limit, and at least a token.
fn in_proportion(buffer: u32, limit: u32, algorithm: &Algorithm) -> u32 {
    let part = u64::from(buffer) * u64::from(algorithm.max_completion_length) / u64::from(limit.max(1));
    u32::try_from(part).unwrap_or(u32::MAX).max(1)
}

/// Our names for what was written.
fn canonical(settings: &Map<String, Value>, base: &Algorithm) -> Result<Given> {
    let fields = fields();
    // The loss may be overridden too, and decides what some names mean.
    let loss = settings
        .iter()
        .flat_map(|(key, value)| translate(key, value).unwrap_or_default())
        .chain(settings.get("loss").map(|value| ("loss", value.clone())))
        .filter(|(key, _)| *key == "loss")
        .find_map(|(_, value)| serde_json::from_value(value).ok())
        .unwrap_or(base.loss);
    let kl_in_reward = base.kl_reward_coef != 0.0;

    let mut given = Given::new();
    // A name for one setting wins over a name for several: `epsilon` and `epsilon_high` are meant to be given together.
    let mut wide: Vec<(&String, Vec<(&'static str, Value)>)> = Vec::new();
    for (key, value) in settings.iter().filter(|(key, _)| !matches!(key.as_str(), "preset" | "defaults")) {
        let meant = if let Some(meant) = in_context(key, value, loss, kl_in_reward) {
            meant
        } else if let Some((_, targets)) = ALIASES.iter().find(|(alias, _)| alias == key) {
            targets.iter().map(|target| (*target, value.clone())).collect()
        } else if TRANSLATED.contains(&key.as_str()) {
            translate(key, value).map_err(|reason| value_error(key, value, reason))?
        } else if let Some(field) = fields.iter().find(|field| *field == key) {
            vec![(*field, value.clone())]
        } else {
            let known = fields.iter().chain(TRANSLATED).copied().chain(ALIASES.iter().map(|(alias, _)| *alias));
            let nearest = nearest(key, known).unwrap_or("preset").to_owned();
            return Err(PresetError::UnknownKey { key: key.clone(), nearest }.into());
        };
        if meant.len() > 1 {
            wide.push((key, meant));
        } else {
            for (target, value) in meant {
                insert(&mut given, target, key, value)?;
            }
        }
    }
    let narrow: Vec<&'static str> = given.keys().copied().collect();
    for (key, meant) in wide {
        for (target, value) in meant.into_iter().filter(|(target, _)| !narrow.contains(target)) {
            insert(&mut given, target, key, value)?;
        }
    }
    Ok(given)
}

fn insert(given: &mut Given, target: &'static str, key: &str, value: Value) -> Result<()> {
    match given.get(target) {
        Some((first, before)) if !same(before, &value) => {
            Err(PresetError::GivenTwice { first: first.clone(), second: key.to_owned() }.into())
        }
        _ => {
            given.insert(target, (key.to_owned(), value));
            Ok(())
        }
    }
}

/// Equality that does not tell 1 from 1.0.
fn same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a == b)
}

/// The names of all settings, read off the type itself.
fn fields() -> Vec<&'static str> {
    struct Names(Vec<&'static str>);
    impl<'de> serde::Deserializer<'de> for &mut Names {
        type Error = serde::de::value::Error;
        fn deserialize_struct<V: serde::de::Visitor<'de>>(
            self,
            _name: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> std::result::Result<V::Value, Self::Error> {
            self.0 = fields.to_vec();
            self.deserialize_any(visitor)
        }
        fn deserialize_any<V: serde::de::Visitor<'de>>(self, _: V) -> std::result::Result<V::Value, Self::Error> {
            Err(serde::de::Error::custom("only the names are wanted"))
        }
        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let mut names = Names(Vec::new());
    // The error is how the visit ends; the names were noted before it.
    let _ = <Algorithm as serde::Deserialize>::deserialize(&mut names);
    names.0
}

/// `base` with some settings replaced.
fn merge<'v>(base: &Algorithm, values: impl Iterator<Item = (impl AsRef<str>, &'v Value)>) -> Result<Algorithm> {
    let mut merged = base.clone();
    for (key, value) in values {
        // One at a time, so that an error names the setting.
        let key = key.as_ref();
        let whole = serde_json::to_value(&merged).map_err(|error| value_error(key, value, &error.to_string()))?;
        let Value::Object(mut map) = whole else { continue };
        map.insert(key.to_owned(), whole_number(&map, key, value));
        merged =
            serde_json::from_value(Value::Object(map)).map_err(|error| value_error(key, value, &error.to_string()))?;
    }
    Ok(merged)
}

/// `4.0` for a setting that counts.
fn whole_number(map: &Map<String, Value>, key: &str, value: &Value) -> Value {
    let counts = map.get(key).is_some_and(Value::is_u64);
    match value.as_f64() {
        Some(number) if counts && value.is_f64() && number >= 0.0 && number.fract() == 0.0 => (number as u64).into(),
        _ => value.clone(),
    }
}

fn value_error(key: &str, value: &Value, reason: &str) -> crate::Error {
    PresetError::Value { key: key.to_owned(), value: value.to_string(), reason: reason.to_owned() }.into()
}

/// Puts the user's own spelling into an error about one of our names.
fn rename(error: crate::Error, given: &Given) -> crate::Error {
    match error {
        crate::Error::Preset(PresetError::Value { key, value, reason }) => {
            let key = given.get(key.as_str()).map_or(key, |(written, _)| written.clone());
            PresetError::Value { key, value, reason }.into()
        }
        other => other,
    }
}

fn nearest<'k>(key: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known.map(|name| (strsim::jaro_winkler(key, name), name)).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}
