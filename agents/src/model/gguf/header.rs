//! The header of a GGUF file: metadata and the table of tensors, checked against the file's length.

use std::collections::BTreeMap;
use std::io::Read;

use super::format::Format;
use super::value::{Fields, Value};

/// Metadata, and where each tensor lies.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Metadata by key.
    pub metadata: BTreeMap<String, Value>,
    /// Tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
}

/// Where a tensor lies and how it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Sizes in row-major order (the file lists them innermost first).
    pub shape: Vec<i64>,
    /// Storage format.
    pub format: Format,
    /// First byte in the file.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// Bytes of the shortest possible entries of the two tables.
const LEAST_METADATA: u64 = 8 + 4 + 1;
const LEAST_TENSOR: u64 = 8 + 4 + 4 + 8;

impl Header {
    /// Reads the header at the start of `input`, a file of `length` bytes. The error says what is wrong where.
    pub fn read(input: impl Read, length: u64) -> Result<Self, String> {
        let mut fields = Fields::new(input, length);
        if fields.bytes()? != *b"GGUF" {
            return Err("it does not start with `GGUF`".to_owned());
        }
        let version = fields.u32()?;
        if !(2..=3).contains(&version) {
            return Err(format!("GGUF version {version} is not supported, only 2 and 3"));
        }
        let (tensor_count, metadata_count) = (fields.u64()?, fields.u64()?);
        for (what, count, least) in
            [("tensors", tensor_count, LEAST_TENSOR), ("metadata entries", metadata_count, LEAST_METADATA)]
        {
            if count > fields.left() / least {
                return Err(format!("it claims {count} {what}, more than {length} bytes can hold"));
            }
        }
        let mut metadata = BTreeMap::new();
        for _ in 0..metadata_count {
            let key = fields.text()?;
            let value = fields.value().map_err(|reason| format!("metadata `{key}`: {reason}"))?;
            metadata.insert(key, value);
        }
        let mut entries = Vec::new();
        for _ in 0..tensor_count {
            let name = fields.text()?;
            let info = tensor_info(&mut fields).map_err(|reason| format!("tensor `{name}`: {reason}"))?;
            entries.push((name, info));
        }
        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(Value::Integer(alignment @ 1..=65_536)) => *alignment as u64,
            Some(other) => return Err(format!("alignment is {other:?}")),
        };
        let data_start = fields.position().next_multiple_of(alignment);
        let mut tensors = BTreeMap::new();
        for (name, mut info) in entries {
            let start = data_start.checked_add(info.offset);
            let end = start.and_then(|start| start.checked_add(info.bytes));
            match (start, end) {
                (Some(start), Some(end)) if end <= length => info.offset = start,
                _ => {
                    let TensorInfo { offset, bytes, .. } = info;
                    return Err(format!("tensor `{name}`: {bytes} bytes at {offset} of the data end beyond the file"));
                }
            }
            if tensors.insert(name.clone(), info).is_some() {
                return Err(format!("tensor `{name}` is there twice"));
            }
        }
        Ok(Self { metadata, tensors })
    }

    /// The integer at `key`.
    pub fn integer(&self, key: &str) -> Option<i64> {
        match self.metadata.get(key)? {
            Value::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The number at `key`.
    pub fn number(&self, key: &str) -> Option<f64> {
        match self.metadata.get(key)? {
            Value::Integer(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The string at `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.metadata.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The strings at `key`.
    pub fn texts(&self, key: &str) -> Option<&[String]> {
        match self.metadata.get(key)? {
            Value::Texts(texts) => Some(texts),
            _ => None,
        }
    }
}

/// One entry of the tensor table; its offset still counts from the start of the data.
fn tensor_info(fields: &mut Fields<impl Read>) -> Result<TensorInfo, String> {
    let dimensions = fields.u32()?;
    if !(1..=4).contains(&dimensions) {
        return Err(format!("{dimensions} dimensions"));
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        let size = fields.u64()?;
        shape.push(i64::try_from(size).map_err(|_| format!("a dimension of {size}"))?);
    }
    let format = Format::from_code(fields.u32()?)?;
    let offset = fields.u64()?;
    let elements = shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size as u64));
    let (block, bytes) = format.block();
    if !(shape[0] as u64).is_multiple_of(block) {
        return Err(format!("rows of {} values do not split into blocks of {block}", shape[0]));
    }
    let bytes = elements
        .and_then(|elements| (elements / block).checked_mul(bytes))
        .ok_or_else(|| format!("shape {shape:?} overflows"))?;
    shape.reverse();
    Ok(TensorInfo { shape, format, offset, bytes })
}
