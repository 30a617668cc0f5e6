//! Reading of the plain values: text, numbers, flags, lists, and tables whose keys are names.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use toml::de::DeValue;

use super::read::{Read, Reader, Value};
use crate::check::{Code, Problem};
use crate::source::Spanned;

impl Read for String {
    fn read(value: Value<'_, '_>, reader: &mut Reader) -> Option<Self> {
        if let DeValue::String(text) = value.value {
            return Some(text.clone().into_owned());
        }
        reader.wrong_type(value, "a string");
        None
    }
}

impl Read for bool {
    fn read(value: Value<'_, '_>, reader: &mut Reader) -> Option<Self> {
        let flag = value.value.as_bool();
        if flag.is_none() {
            reader.wrong_type(value, "`true` or `false`");
        }
        flag
    }
}

impl Read for u64 {
    fn read(value: Value<'_, '_>, reader: &mut Reader) -> Option<Self> {
        let DeValue::Integer(integer) = value.value else {
            reader.wrong_type(value, "a whole number");
            return None;
        };
        let number = Self::from_str_radix(integer.as_str(), integer.radix()).ok();
        if number.is_none() {
            let message = format!("`{}` is not a number from 0 to 18446744073709551615", integer.as_str());
            reader.report(Problem::new(Code::BadValue, message, value.span));
        }
        number
    }
}

impl Read for u32 {
    fn read(value: Value<'_, '_>, reader: &mut Reader) -> Option<Self> {
        let wide = u64::read(value, reader)?;
        let narrow = Self::try_from(wide).ok();
        if narrow.is_none() {
            reader.report(Problem::new(Code::BadValue, format!("{wide} is larger than {}", Self::MAX), value.span));
        }
        narrow
    }
}

impl Read for f64 {
    fn read(value: Value<'_, '_>, reader: &mut Reader) -> Option<Self> {
        let text = match value.value {
            DeValue::Float(float) => float.as_str(),
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            _ => {
                reader.wrong_type(value, "a number");
                return None;
            }
        };
        let number = text.parse().ok().filter(|number: &Self| number.is_finite());
        if number.is_none() {
            reader.report(Problem::new(Code::BadValue, format!("`{text}` is not a finite number"), value.span));
        }
        number
    }
}

impl<T: Read> Read for Vec<Spanned<T>> {
    fn read(value: Value<'_, '_>, reader: &mut Reader) -> Option<Self> {
        let DeValue::Array(items) = value.value else {
            reader.wrong_type(value, "a list");
            return None;
        };
        let mut read = Self::with_capacity(items.len());
        for item in items {
            let item = Value { value: item.get_ref(), span: reader.span(item.span()) };
            read.extend(T::read(item, reader).map(|value| Spanned::new(value, item.span)));
        }
        Some(read)
    }
}

/// A table whose keys are names the user chose, in written order.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<T>(pub Vec<(Spanned<String>, Spanned<T>)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Named<T> {
    /// Names and values in written order.
    pub fn iter(&self) -> impl Iterator<Item = (&Spanned<String>, &Spanned<T>)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

impl<T: Read> Read for Named<T> {
    fn read(value: Value<'_, '_>, reader: &mut Reader) -> Option<Self> {
        let fields = reader.fields(value)?;
        let mut read = Vec::new();
        for (name, name_range, entry) in fields.entries() {
            let entry = Value { value: entry.get_ref(), span: reader.span(entry.span()) };
            let name = Spanned::new(name.to_owned(), reader.span(name_range));
            read.extend(T::read(entry, reader).map(|value| (name, Spanned::new(value, entry.span))));
        }
        Some(Self(read))
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(&name.value, &value.value)?;
        }
        map.end()
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Named_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        std::collections::BTreeMap::<String, T>::json_schema(generator)
    }
}

/// Any value, kept as JSON: constants, initial values, JSON Schemas written in TOML.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Json(pub serde_json::Value);

impl Read for Json {
    fn read(value: Value<'_, '_>, reader: &mut Reader) -> Option<Self> {
        to_json(value, reader).map(Self)
    }
}

fn to_json(value: Value<'_, '_>, reader: &mut Reader) -> Option<serde_json::Value> {
    use serde_json::Value as J;
    let inner = |item: &toml::Spanned<DeValue<'_>>, reader: &mut Reader| {
        let span = reader.span(item.span());
        to_json(Value { value: item.get_ref(), span }, reader)
    };
    Some(match value.value {
        DeValue::String(text) => J::String(text.clone().into_owned()),
        DeValue::Boolean(flag) => J::Bool(*flag),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => number.into(),
            Err(_) => u64::read(value, reader)?.into(),
        },
        DeValue::Float(_) => serde_json::Number::from_f64(f64::read(value, reader)?).map(J::Number)?,
        DeValue::Datetime(date) => J::String(date.to_string()),
        DeValue::Array(items) => J::Array(items.iter().map(|item| inner(item, reader)).collect::<Option<_>>()?),
        DeValue::Table(table) => {
            let pairs = table.iter().map(|(key, item)| Some((key.get_ref().to_string(), inner(item, reader)?)));
            J::Object(pairs.collect::<Option<_>>()?)
        }
    })
}
