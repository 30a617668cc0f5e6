//! Where a thing was written: files, byte spans, and values that remember their span.
//!
//! A team may pull in other files (`use = "debate.toml"`), so a span names its file as well as its bytes. Spans never
//! take part in equality: two specs are equal when they say the same, wherever they say it.

use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

/// Index of a file in [`Sources`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// A half-open range of bytes in one file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The span of `range` in `file`; offsets past 4 GiB saturate (such files are refused before).
    pub fn new(file: FileId, range: std::ops::Range<usize>) -> Self {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { file, start: narrow(range.start), end: narrow(range.end) }
    }

    /// Number of bytes covered.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether no byte is covered.
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

/// A value together with where it was written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Puts a value and its place together.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Serialize> Serialize for Spanned<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// One file that was read.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Name to show: the path as given, or `catalog:name`.
    pub name: String,
    /// Its text.
    pub text: String,
    line_starts: Vec<u32>,
    /// The text with control characters replaced byte for byte, where it has any: what excerpts are cut from.
    shown: Option<String>,
}

impl SourceFile {
    /// The text as it may be shown on a terminal; the same bytes at the same places.
    pub(crate) fn shown(&self) -> &str {
        self.shown.as_deref().unwrap_or(&self.text)
    }

    /// Line (from 0) that holds a byte.
    pub(crate) fn line_of(&self, byte: usize) -> usize {
        self.line_starts.partition_point(|start| *start as usize <= byte).max(1) - 1
    }

    /// First byte of a line (from 0).
    pub(crate) fn line_start(&self, line: usize) -> usize {
        self.line_starts[line] as usize
    }

    /// One past the last byte of a line (from 0), its newline included.
    pub(crate) fn line_end(&self, line: usize) -> usize {
        self.line_starts.get(line + 1).map_or(self.text.len(), |start| *start as usize)
    }

    /// Number of lines, at least 1.
    pub(crate) fn line_total(&self) -> usize {
        self.line_starts.len()
    }
}

/// Every file that took part in one check; index 0 is the one the user named.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

impl Sources {
    /// Adds a file and returns its id.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let text = text.into();
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0).chain(newlines.map(|(at, _)| at as u32 + 1)).collect();
        let shown = printable(&text);
        self.files.push(SourceFile { name: name.into(), text, line_starts, shown });
        FileId(self.files.len() as u32 - 1)
    }

    /// Adds the files of another check behind its own; their ids grow by what is returned.
    pub(crate) fn append(&mut self, other: Self) -> u32 {
        let offset = self.files.len() as u32;
        self.files.extend(other.files);
        offset
    }

    /// The file with this id.
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// All files, the user's own first.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Line and column of the start of a span, both from 1; columns count characters.
    pub fn line_column(&self, span: Span) -> (usize, usize) {
        let file = self.file(span.file);
        let line = file.line_of(span.start as usize);
        let at = (span.start as usize).min(file.text.len());
        let column = file.text.get(file.line_start(line)..at).map_or(0, |before| before.chars().count());
        (line + 1, column + 1)
    }

    /// The bytes under a span, or nothing when the span does not lie on character boundaries.
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file).text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }
}

/// Replaces control characters byte for byte, so that spans still fit; `None` when there are none.
fn printable(text: &str) -> Option<String> {
    let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t' | '\r');
    if text.chars().all(harmless) {
        return None;
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if harmless(c) {
            clean.push(c);
        } else {
            clean.extend(std::iter::repeat_n('?', c.len_utf8()));
        }
    }
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_not_bytes() {
        let mut sources = Sources::default();
        let file = sources.add("t.toml", "a = 1\né = 2\n");
        assert_eq!(sources.line_column(Span::new(file, 9..10)), (2, 3));
        assert_eq!(sources.text(Span::new(file, 0..1)), "a");
        assert_eq!(sources.line_column(Span::new(file, 0..1)), (1, 1));
    }
}
