//! Reading fields out of an agent's words.

use std::ops::Range;

use jsonschema::Validator;
use serde_json::{Map, Value};

use super::message::Hidden;
use crate::spec::PortType;
use crate::team::{Field, Find, Output, Visibility};

/// What the words of an agent say.
pub(super) struct Reading {
    pub(super) fields: Map<String, Value>,
    /// The words without scratch; `None` when nothing was taken out.
    pub(super) public: Option<String>,
    pub(super) hidden: Vec<Hidden>,
    /// Why a required field or the schema did not parse.
    pub(super) unread: Option<String>,
}

/// Reads `text`. Fields are looked for outside of scratch first, then anywhere.
pub(super) fn read(output: &Output, schema: Option<&Validator>, text: &str) -> Reading {
    let public = output.scratch.as_ref().filter(|scratch| scratch.is_match(text));
    let public = public.map(|scratch| scratch.replace_all(text, "").trim().to_owned());
    let words = public.as_deref().unwrap_or(text);
    let mut reading = Reading { fields: Map::new(), public: None, hidden: Vec::new(), unread: None };
    let json = if output.schema.is_some() { reading.read_json(schema, words) } else { None };
    for field in &output.fields {
        let found = match &field.find {
            Find::Regex(_) => captured(field, words).map(|(value, range)| (value, Some(range))),
            Find::Property => json.as_ref().and_then(|json| json.get(&field.name)).map(|value| (value.clone(), None)),
        };
        let Some((value, range)) = found else {
            if field.required {
                reading.unread.get_or_insert_with(|| format!("`{}` is missing", field.name));
            }
            continue;
        };
        match typed(field, value) {
            Ok(value) => {
                reading.fields.insert(field.name.clone(), value);
            }
            Err(reason) => {
                reading.unread.get_or_insert(reason);
            }
        }
        if field.visible != Visibility::Public {
            reading.hidden.push(Hidden { field: field.name.clone(), range });
        }
    }
    reading.public = public;
    reading
}

impl Reading {
    /// Reads the whole output as JSON and checks it; every top-level property becomes a field.
    fn read_json(&mut self, schema: Option<&Validator>, words: &str) -> Option<Value> {
        let json: Value = match serde_json::from_str(strip_fence(words)) {
            Ok(json) => json,
            Err(error) => {
                self.unread = Some(format!("the output is not JSON: {error}"));
                return None;
            }
        };
        if let Some(error) = schema.and_then(|schema| schema.validate(&json).err()) {
            self.unread = Some(format!("the output does not fit the schema: {error}"));
            return None;
        }
        if let Value::Object(properties) = &json {
            self.fields.extend(properties.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        Some(json)
    }
}

/// Models like to wrap JSON in a Markdown fence.
fn strip_fence(words: &str) -> &str {
    let words = words.trim();
    let Some(inner) = words.strip_prefix("```").and_then(|rest| rest.strip_suffix("```")) else {
        return words;
    };
    inner.strip_prefix("json").unwrap_or(inner)
}

/// First capture group (the whole match without one) of the last match, and where the match stands.
fn captured(field: &Field, words: &str) -> Option<(Value, Range<usize>)> {
    let Find::Regex(regex) = &field.find else { return None };
    if field.kind == PortType::List {
        let all: Vec<_> = regex.captures_iter(words).collect();
        let (first, last) = (all.first()?.get(0)?, all.last()?.get(0)?);
        let items: Vec<Value> = all
            .iter()
            .filter_map(|found| found.get(1).or(found.get(0)))
            .map(|part| part.as_str().trim().into())
            .collect();
        // One match that is itself a JSON list is that list; otherwise every match is an item.
        let list = match items.as_slice() {
            [Value::String(only)] => match serde_json::from_str(only) {
                Ok(Value::Array(list)) => list,
                _ => only.lines().map(str::trim).filter(|line| !line.is_empty()).map(Value::from).collect(),
            },
            _ => items,
        };
        return Some((Value::Array(list), first.start()..last.end()));
    }
    let found = regex.captures_iter(words).last()?;
    let (whole, part) = (found.get(0)?, found.get(1).or(found.get(0))?);
    Some((Value::from(part.as_str().trim()), whole.range()))
}

/// The value as its declared type.
fn typed(field: &Field, value: Value) -> Result<Value, String> {
    let wrong = |value: &Value| format!("`{}` is not {}: {value}", field.name, article(field.kind));
    Ok(match (field.kind, value) {
        (PortType::Text, value @ Value::String(_))
        | (PortType::Any, value)
        | (PortType::Object, value @ Value::Object(_)) => value,
        (PortType::Text, value) => Value::String(value.to_string()),
        (PortType::Number, value) => number(&value).map(Value::Number).ok_or_else(|| wrong(&value))?,
        (PortType::Integer, value) => {
            number(&value).and_then(|number| number.as_i64()).map(Value::from).ok_or_else(|| wrong(&value))?
        }
        (PortType::Boolean, Value::Bool(flag)) => Value::Bool(flag),
        (PortType::Boolean, value) => flag(&value).map(Value::Bool).ok_or_else(|| wrong(&value))?,
        (PortType::List, Value::Array(mut items)) => {
            if let Some(max) = field.max_items {
                items.truncate(max as usize);
            }
            Value::Array(items)
        }
        (PortType::Object, Value::String(text)) => match serde_json::from_str(&text) {
            Ok(value @ Value::Object(_)) => value,
            _ => return Err(wrong(&Value::String(text))),
        },
        (PortType::List | PortType::Object, value) => return Err(wrong(&value)),
    })
}

fn article(kind: PortType) -> &'static str {
    match kind {
        PortType::Any | PortType::Text => "text",
        PortType::Number => "a number",
        PortType::Integer => "a whole number",
        PortType::Boolean => "true or false",
        PortType::List => "a list",
        PortType::Object => "a record",
    }
}

/// A number, written as one or as text; whole numbers stay whole.
fn number(value: &Value) -> Option<serde_json::Number> {
    let text = match value {
        Value::Number(number) => return Some(number.clone()),
        Value::String(text) => text.trim().trim_start_matches('+'),
        _ => return None,
    };
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    text.parse().ok().and_then(serde_json::Number::from_f64)
}

fn flag(value: &Value) -> Option<bool> {
    match value.as_str()?.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    }
}
