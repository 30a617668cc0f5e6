//! Metadata values of a GGUF file, and the bounded reader that they come from.

use std::io::Read;

/// A metadata value. Integers of all widths are one kind, and so are floats.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Any integer or boolean.
    Integer(i64),
    /// Any float.
    Float(f64),
    /// A string.
    Text(String),
    /// An array of integers or booleans.
    Integers(Vec<i64>),
    /// An array of floats.
    Floats(Vec<f32>),
    /// An array of strings.
    Texts(Vec<String>),
}

/// Longest metadata string: chat templates and licences are far shorter.
const TEXT_LIMIT: u64 = 1 << 24;
/// Most elements of an array: the largest vocabularies have a quarter million.
const ARRAY_LIMIT: u64 = 1 << 23;

/// Reads little-endian fields and never asks for memory that the rest of the file could not fill.
pub(super) struct Fields<R> {
    input: R,
    position: u64,
    length: u64,
}

impl<R: Read> Fields<R> {
    pub(super) fn new(input: R, length: u64) -> Self {
        Self { input, position: 0, length }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn left(&self) -> u64 {
        self.length - self.position
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, String> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, String> {
        self.bytes().map(u64::from_le_bytes)
    }

    pub(super) fn text(&mut self) -> Result<String, String> {
        let length = self.u64()?;
        if length > TEXT_LIMIT || length > self.left() {
            return Err(format!("a string of {length} bytes with {} left in the file", self.left()));
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        // Some converters cut token strings inside a character.
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    pub(super) fn value(&mut self) -> Result<Value, String> {
        let kind = self.u32()?;
        match kind {
            8 => self.text().map(Value::Text),
            9 => self.array(),
            6 | 12 => self.float(kind).map(Value::Float),
            _ => self.integer(kind).map(Value::Integer),
        }
    }

    fn array(&mut self) -> Result<Value, String> {
        let (kind, count) = (self.u32()?, self.u64()?);
        let least = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            _ => 8,
        };
        if count > ARRAY_LIMIT || count * least > self.left() {
            return Err(format!("an array of {count} elements with {} bytes left in the file", self.left()));
        }
        match kind {
            8 => (0..count).map(|_| self.text()).collect::<Result<_, _>>().map(Value::Texts),
            6 | 12 => {
                let read = (0..count).map(|_| self.float(kind).map(|value| value as f32));
                read.collect::<Result<_, _>>().map(Value::Floats)
            }
            _ => (0..count).map(|_| self.integer(kind)).collect::<Result<_, _>>().map(Value::Integers),
        }
    }

    fn float(&mut self, kind: u32) -> Result<f64, String> {
        if kind == 6 {
            self.bytes().map(|bytes| f64::from(f32::from_le_bytes(bytes)))
        } else {
            self.bytes().map(f64::from_le_bytes)
        }
    }

    fn integer(&mut self, kind: u32) -> Result<i64, String> {
        match kind {
            0 | 7 => self.bytes().map(|bytes| u8::from_le_bytes(bytes).into()),
            1 => self.bytes().map(|bytes| i8::from_le_bytes(bytes).into()),
            2 => self.bytes().map(|bytes| u16::from_le_bytes(bytes).into()),
            3 => self.bytes().map(|bytes| i16::from_le_bytes(bytes).into()),
            4 => self.bytes().map(|bytes| u32::from_le_bytes(bytes).into()),
            5 => self.bytes().map(|bytes| i32::from_le_bytes(bytes).into()),
            10 => self.bytes().map(|bytes| u64::from_le_bytes(bytes) as i64),
            11 => self.bytes().map(i64::from_le_bytes),
            other => Err(format!("value type {other} is unknown")),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        if bytes.len() as u64 > self.left() {
            return Err(format!("it ends after {} bytes, inside its header", self.length));
        }
        self.input.read_exact(bytes).map_err(|error| error.to_string())?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}
