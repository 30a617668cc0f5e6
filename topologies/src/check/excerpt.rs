//! Excerpts of source files for reports: the line in question and its neighbours, never a megabyte of it.

use miette::{MietteError, SourceCode, SourceSpan, SpanContents};

use crate::source::{SourceFile, Span};

/// Most bytes shown of one line, before and after the place.
const MARGIN: usize = 160;
/// Most bytes underlined.
const UNDERLINED: usize = 60;

impl SourceFile {
    /// Start and length of what is underlined: the first line of the span, and not too much of it.
    pub(super) fn excerpt_span(&self, span: Span) -> (usize, usize) {
        let start = self.boundary(span.start as usize);
        let end = self.boundary((span.end as usize).min(start + UNDERLINED)).max(start);
        let first_line = self.text[start..end].find(['\n', '\r']).map_or(end, |newline| start + newline);
        (start, first_line - start)
    }

    /// The nearest character boundary at or before a byte.
    fn boundary(&self, at: usize) -> usize {
        self.text.floor_char_boundary(at.min(self.text.len()))
    }
}

#[derive(Debug)]
struct Excerpt<'a> {
    data: &'a [u8],
    span: SourceSpan,
    line: usize,
    column: usize,
    lines: usize,
    name: &'a str,
}

impl<'a> SpanContents<'a> for Excerpt<'a> {
    fn data(&self) -> &'a [u8] {
        self.data
    }

    fn span(&self) -> &SourceSpan {
        &self.span
    }

    fn name(&self) -> Option<&str> {
        Some(self.name)
    }

    fn line(&self) -> usize {
        self.line
    }

    fn column(&self) -> usize {
        self.column
    }

    fn line_count(&self) -> usize {
        self.lines
    }
}

impl SourceCode for SourceFile {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        if span.offset() + span.len() > self.text.len() {
            return Err(MietteError::OutOfBounds);
        }
        let line = self.line_of(span.offset());
        let last = self.line_of(span.offset() + span.len());
        let mut first = line.saturating_sub(before);
        let mut start = self.line_start(first);
        if span.offset() - start > MARGIN {
            first = line;
            start = self.line_start(line).max(self.boundary(span.offset().saturating_sub(MARGIN)));
        }
        let end = self.line_end((last + after).min(self.line_total() - 1));
        let end = self.boundary(end.min(span.offset() + span.len() + MARGIN));
        let column = if start == self.line_start(first) && first != line { 0 } else { span.offset() - start };
        let contents = Excerpt {
            data: &self.shown().as_bytes()[start..end],
            span: (start, end - start).into(),
            line: first,
            column,
            lines: last - first + 1,
            name: &self.name,
        };
        Ok(Box::new(contents))
    }
}
