//! The spanned walk over a parsed TOML document: reports every problem and carries on, where serde stops at the first.
//!
//! Any configuration file can be read this way: declare its tables with [`table!`](crate::table!), its closed sets of
//! words with [`keywords!`](crate::keywords!), and call [`read_document`].
//!
//! ```
//! use marft_topologies::check::Report;
//! use marft_topologies::source::Sources;
//! use marft_topologies::spec::read::read_document;
//!
//! marft_topologies::table! {
//!     /// How to train.
//!     TrainSpec {
//!         /// Learning rate.
//!         lr: f64, required;
//!         /// Number of steps.
//!         steps: u32;
//!     }
//! }
//!
//! let mut sources = Sources::default();
//! let (_, spec, problems) = read_document::<TrainSpec>(&mut sources, "run.toml", "lr = 1e-4\nstep = 3\n");
//! assert_eq!(spec.and_then(|spec| spec.lr).map(|lr| lr.value), Some(1e-4));
//! let report = Report::new(sources, problems);
//! assert_eq!(report.problems()[0].message, "unknown key `step`");
//! assert_eq!(report.problems()[0].help.as_deref(), Some("did you mean `steps`?"));
//! ```

mod document;

use std::ops::Range;

use toml::de::{DeTable, DeValue};

pub use document::{parse_document, read_document, read_file};

use crate::check::names::nearest;
use crate::check::{Code, Problem};
use crate::source::{FileId, Span, Spanned};

/// Most tables inside tables: bounds every recursion over a spec.
const MAX_DEPTH: u32 = 16;

/// A value of the document with its place.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a, 'i> {
    /// What was parsed.
    pub value: &'a DeValue<'i>,
    /// Where.
    pub span: Span,
}

/// Collects problems of one file while it is read.
#[derive(Debug)]
pub struct Reader {
    file: FileId,
    /// A second file laid behind the first: offsets from here on are its own.
    behind: Option<(usize, FileId)>,
    problems: Vec<Problem>,
    depth: u32,
}

/// Types that can be read from a value. `None` means a problem was reported.
pub trait Read: Sized {
    /// Reads the value or reports why not.
    fn read(value: Value<'_, '_>, reader: &mut Reader) -> Option<Self>;
}

/// Types that are read key by key, so that several may share one table.
pub trait ReadFields: Sized {
    /// Takes the keys it knows.
    fn read_fields(fields: &mut Fields<'_, '_>, reader: &mut Reader) -> Self;
}

impl<T: ReadFields> Read for T {
    fn read(value: Value<'_, '_>, reader: &mut Reader) -> Option<Self> {
        if reader.depth >= MAX_DEPTH {
            let message = format!("tables are nested more than {MAX_DEPTH} deep");
            reader.report(Problem::new(Code::TooDeep, message, value.span).help("flatten the inner teams"));
            return None;
        }
        let mut fields = reader.fields(value)?;
        reader.depth += 1;
        let this = T::read_fields(&mut fields, reader);
        reader.depth -= 1;
        fields.finish(reader);
        Some(this)
    }
}

impl Reader {
    /// A reader of one file.
    pub fn new(file: FileId) -> Self {
        Self { file, behind: None, problems: Vec::new(), depth: 0 }
    }

    /// A reader of one document that was merged from two files: offsets from `end` on lie in `second`, counted from there.
    pub fn of_two(first: FileId, end: usize, second: FileId) -> Self {
        Self { behind: Some((end, second)), ..Self::new(first) }
    }

    /// The problems found.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// A span of what is read.
    pub fn span(&self, range: Range<usize>) -> Span {
        match self.behind {
            Some((end, second)) if range.start >= end => Span::new(second, range.start - end..range.end - end),
            _ => Span::new(self.file, range),
        }
    }

    /// Reports a problem.
    pub fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Reports a value of the wrong type.
    pub fn wrong_type(&mut self, value: Value<'_, '_>, expected: &str) {
        let message = format!("expected {expected}, found {}", article(value.value.type_str()));
        self.report(Problem::new(Code::WrongType, message, value.span));
    }

    /// Reports a word outside a closed set.
    pub fn unknown_word(&mut self, span: Span, word: &str, words: &[&str]) {
        let help = match nearest(word, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use one of {}", list(words)),
        };
        self.report(Problem::new(Code::BadValue, format!("`{word}` is not one of {}", list(words)), span).help(help));
    }

    /// Opens a table.
    pub fn fields<'a, 'i>(&mut self, value: Value<'a, 'i>) -> Option<Fields<'a, 'i>> {
        let DeValue::Table(table) = value.value else {
            self.wrong_type(value, "a table");
            return None;
        };
        Some(Fields { table, span: value.span, known: Vec::new(), lenient: false })
    }
}

/// A table being read: remembers which keys were asked for, so that the rest can be called unknown.
#[derive(Debug)]
pub struct Fields<'a, 'i> {
    table: &'a DeTable<'i>,
    span: Span,
    known: Vec<&'static str>,
    lenient: bool,
}

impl<'a, 'i> Fields<'a, 'i> {
    /// The place of the whole table.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Reads an optional key.
    pub fn take<T: Read>(&mut self, key: &'static str, reader: &mut Reader) -> Option<Spanned<T>> {
        self.known.push(key);
        let found = self.table.get(key)?;
        let value = Value { value: found.get_ref(), span: reader.span(found.span()) };
        T::read(value, reader).map(|read| Spanned::new(read, value.span))
    }

    /// Reads a key that must be present.
    pub fn take_required<T: Read>(&mut self, key: &'static str, reader: &mut Reader) -> Option<Spanned<T>> {
        if !self.table.contains_key(key) {
            let problem = Problem::new(Code::MissingKey, format!("`{key}` is missing"), self.span);
            reader.report(problem.help(format!("add `{key} = …` here")));
        }
        self.take(key, reader)
    }

    /// Calls no key of this table unknown.
    pub fn accept_all(&mut self) {
        self.lenient = true;
    }

    /// Reports every key that nothing asked for.
    pub fn finish(self, reader: &mut Reader) {
        if self.lenient {
            return;
        }
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let problem = Problem::new(Code::UnknownKey, format!("unknown key `{name}`"), reader.span(key.span()));
            reader.report(problem.help(match nearest(name, self.known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys here: {}", list(&self.known)),
            }));
        }
    }

    /// The entries, for tables whose keys are names the user chose.
    pub fn entries(
        &self,
    ) -> impl Iterator<Item = (&'a str, Range<usize>, &'a toml::Spanned<DeValue<'i>>)> + use<'a, 'i> {
        self.table.iter().map(|(key, value)| (&**key.get_ref(), key.span(), value))
    }
}

/// `a`, `b`, `c` for messages.
pub(crate) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn article(kind: &str) -> String {
    let an = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if an { "an" } else { "a" })
}
