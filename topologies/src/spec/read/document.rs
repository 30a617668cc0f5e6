//! Documents: reading files within bounds, and parsing TOML so that nothing in it can exhaust memory or stack.

use std::io::Read as _;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml_parser::lexer::TokenKind;

use super::{Read, Reader, Value};
use crate::check::{Code, Problem};
use crate::source::{FileId, Sources, Span};

/// Most bytes of one file.
const MAX_FILE_BYTES: usize = 64 << 20;
/// Most dots in one key: deeper documents are refused before they are built, because taking them apart recurses.
const MAX_KEY_DOTS: usize = 32;

/// Reads a file, refusing what is too large, is no text, or cannot be read. The error is one line that leaves naming
/// the file to the caller.
pub fn read_file(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|error| format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()))
}

/// Parses a document and reads it into `T`, reporting every problem. `T` may come with problems: then it holds what
/// could be read.
pub fn read_document<T: Read>(sources: &mut Sources, name: &str, text: &str) -> (FileId, Option<T>, Vec<Problem>) {
    let (file, document, mut problems) = parse_document(sources, name, text);
    let Some(document) = document else { return (file, None, problems) };
    let mut reader = Reader::new(file);
    let table = DeValue::Table(document);
    // What is missing from a whole document is missing at its start.
    let value = T::read(Value { value: &table, span: Span::new(file, 0..0) }, &mut reader);
    problems.extend(reader.into_problems());
    (file, value, problems)
}

/// Parses a document into a tree of spanned values, for callers that change it before they read it. A tree may come with
/// problems: names given twice, of which the tree holds one.
pub fn parse_document<'i>(
    sources: &mut Sources,
    name: &str,
    text: &'i str,
) -> (FileId, Option<DeTable<'i>>, Vec<Problem>) {
    let file = sources.add(name, text);
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20);
        let problem = Problem::new(Code::Unreadable, message, Span::new(file, 0..0));
        return (file, None, vec![problem.help("split it")]);
    }
    if let Some(at) = deep_key(text) {
        let message = format!("a key has more than {MAX_KEY_DOTS} dots");
        let problem = Problem::new(Code::TooDeep, message, Span::new(file, at..at + 1));
        return (file, None, vec![problem.help("flatten it")]);
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut problems = Vec::new();
    let syntax = |error: &&toml::de::Error| error.message() != DUPLICATE;
    if let Some(first) = errors.iter().find(syntax) {
        let span = Span::new(file, first.span().unwrap_or(0..0));
        let problem = Problem::new(Code::Syntax, format!("not valid TOML: {}", first.message().trim()), span);
        let help = match errors.iter().filter(syntax).count() - 1 {
            0 => "fix this first; nothing else was checked".to_owned(),
            more => format!("fix this first; nothing else was checked ({more} more like it)"),
        };
        return (file, None, vec![problem.help(help)]);
    }
    for error in &errors {
        let range = error.span().unwrap_or(0..0);
        let written = text.get(range.clone()).unwrap_or_default();
        let problem =
            Problem::new(Code::DuplicateId, format!("the name `{written}` is given twice"), Span::new(file, range));
        problems.push(problem.help("rename or remove one of the two"));
    }
    (file, Some(document.into_inner()), problems)
}

/// What the parser says of a key given twice; the rest of the document is still sound then.
const DUPLICATE: &str = "duplicate key";

/// Where a key has too many dots, if anywhere.
fn deep_key(text: &str) -> Option<usize> {
    let mut dots = 0;
    for token in toml_parser::Source::new(text).lex() {
        match token.kind() {
            TokenKind::Dot => {
                dots += 1;
                if dots > MAX_KEY_DOTS {
                    return Some(token.span().start());
                }
            }
            TokenKind::Newline
            | TokenKind::Comma
            | TokenKind::Equals
            | TokenKind::LeftCurlyBracket
            | TokenKind::LeftSquareBracket => dots = 0,
            _ => {}
        }
    }
    None
}
