//! Where a command writes its data: stdout, with a reader who may leave at any time.
//!
//! Rust turns the signal of a closed pipe into an error of `write`. [`Output`] remembers that error, so that a command
//! can pass every failed write up with `?`, and `marft … | head` still ends quietly.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};

use miette::{IntoDiagnostic as _, WrapErr as _};

/// Buffered stdout.
#[derive(Debug)]
pub(super) struct Output {
    stdout: BufWriter<Stdout>,
    terminal: bool,
    reader_left: bool,
}

impl Output {
    pub(super) fn stdout() -> Self {
        let stdout = io::stdout();
        Self { terminal: stdout.is_terminal(), stdout: BufWriter::new(stdout), reader_left: false }
    }

    /// Whether a person is reading.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether colours are welcome: at a terminal, unless `NO_COLOR` says otherwise.
    pub(super) fn color(&self) -> bool {
        self.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
    }

    /// Whether whoever read our stdout has closed it.
    pub(super) fn reader_left(&self) -> bool {
        self.reader_left
    }

    /// Writes text that a library has rendered, with a report in place of an I/O error.
    pub(super) fn text(&mut self, text: &str) -> miette::Result<()> {
        self.write_all(text.as_bytes()).into_diagnostic().wrap_err("could not write to stdout")
    }

    /// Hands the rest to the reader; on a full disk this is where it shows.
    pub(super) fn finish(&mut self) -> miette::Result<()> {
        self.flush().into_diagnostic().wrap_err("could not write to stdout")
    }

    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.reader_left |= error.kind() == io::ErrorKind::BrokenPipe;
        }
        result
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.stdout.write(bytes);
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.stdout.flush();
        self.note(result)
    }
}
