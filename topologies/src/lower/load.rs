//! Files: reading, bounding and parsing them, and following `use`.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use toml::de::{DeTable, DeValue};

use super::Lowering;
use crate::check::{Code, Problem};
use crate::source::{FileId, Sources, Span, Spanned};
use crate::spec::read::{Reader, Value};
use crate::spec::{SubteamSpec, TeamSpec};

/// Most bytes of one file.
const MAX_FILE_BYTES: usize = 64 << 20;
/// Most dots in one key: deeper documents are refused before they are built, because taking them apart recurses.
const MAX_KEY_DOTS: usize = 32;
/// Most files inside files.
const MAX_FILES_DEEP: usize = 8;

/// Reads and parses files once each.
#[derive(Debug, Default)]
pub(crate) struct Loader {
    pub(crate) sources: Sources,
    parsed: HashMap<String, Option<Rc<TeamSpec>>>,
}

impl Loader {
    /// Parses one file that is already in memory.
    pub(crate) fn parse(&mut self, name: &str, text: &str) -> (FileId, Option<TeamSpec>, Vec<Problem>) {
        let file = self.sources.add(name, text);
        let (spec, problems) = parse(file, text);
        (file, spec, problems)
    }
}

/// Reads a file, refusing what is too large, is no regular text, or cannot be read.
pub(crate) fn read_file(path: &Path) -> Result<String, String> {
    let file = fs_err::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let limit = MAX_FILE_BYTES as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|error| format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()))
}

fn parse(file: FileId, text: &str) -> (Option<TeamSpec>, Vec<Problem>) {
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20);
        return (
            None,
            vec![Problem::new(Code::Unreadable, message, Span::new(file, 0..0)).help("split it with `use`")],
        );
    }
    if let Some(at) = deep_key(text) {
        let problem = Problem::new(
            Code::TooDeep,
            format!("a key has more than {MAX_KEY_DOTS} dots"),
            Span::new(file, at..at + 1),
        );
        return (None, vec![problem.help("flatten the inner teams")]);
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut problems = Vec::new();
    let mut broken = false;
    let more = errors.len().saturating_sub(1);
    for error in &errors {
        let span = Span::new(file, error.span().unwrap_or(0..0));
        if error.message() == "duplicate key" {
            let written = text.get(span.start as usize..span.end as usize).unwrap_or_default();
            let problem =
                Problem::new(Code::DuplicateId, format!("the name `{}` is given twice", shorten(written)), span);
            problems.push(problem.help("rename or remove one of the two"));
        } else if !broken {
            broken = true;
            let problem = Problem::new(Code::Syntax, format!("not valid TOML: {}", error.message().trim()), span);
            problems.push(problem.help(match more {
                0 => "fix this first; nothing else was checked".to_owned(),
                _ => format!("fix this first; nothing else was checked ({more} more like it)"),
            }));
        }
    }
    if broken {
        problems.retain(|problem| problem.code == Code::Syntax);
        return (None, problems);
    }
    let span = Span::new(file, document.span());
    let table = DeValue::Table(document.into_inner());
    let mut reader = Reader::new(file);
    let spec = TeamSpec::read_document(Value { value: &table, span: Span { end: span.start, ..span } }, &mut reader);
    problems.extend(reader.into_problems());
    (spec, problems)
}

/// Where a key has too many dots, if anywhere.
fn deep_key(text: &str) -> Option<usize> {
    use toml_parser::lexer::TokenKind;
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

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

impl Lowering<'_> {
    /// The team file behind `use`, read at its first mention.
    pub(super) fn included(&mut self, team: &SubteamSpec, source: &Spanned<String>) -> Option<Rc<TeamSpec>> {
        if team.body != crate::spec::BodySpec::default() {
            let help = "keep `use`, or write the members here";
            self.report(Code::BadCombination, "`use` excludes members written here", source.span, help);
        }
        if self.open_files.contains(&source.value) || self.open_files.len() >= MAX_FILES_DEEP {
            let ring: Vec<_> = self.open_files.iter().chain([&source.value]).map(|name| format!("`{name}`")).collect();
            let message = format!("the team contains itself: {}", ring.join(" → "));
            self.report(Code::RecursiveTeam, message, source.span, "a team cannot be a member of itself");
            return None;
        }
        if !self.loader.parsed.contains_key(&source.value) {
            let parsed = self.include(source);
            self.loader.parsed.insert(source.value.clone(), parsed.map(Rc::new));
        }
        self.loader.parsed[&source.value].clone()
    }

    fn include(&mut self, source: &Spanned<String>) -> Option<TeamSpec> {
        let text = match source.strip_prefix("catalog:") {
            Some(name) => match crate::catalog::source(name) {
                Some(text) => text.to_owned(),
                None => {
                    let message = format!("the catalog has no team `{name}`");
                    self.report(Code::DanglingReference, message, source.span, "`marft catalog` lists what there is");
                    return None;
                }
            },
            None => match read_file(&self.beside(source)) {
                Ok(text) => text,
                Err(fault) => {
                    let message = format!("cannot read `{}`: {fault}", source.value);
                    self.report(
                        Code::Unreadable,
                        message,
                        source.span,
                        "paths are relative to the file that names them",
                    );
                    return None;
                }
            },
        };
        let name = if source.starts_with("catalog:") {
            source.value.clone()
        } else {
            self.beside(source).display().to_string()
        };
        let (_, spec, problems) = self.loader.parse(&name, &text);
        self.problems.extend(problems);
        spec
    }

    fn beside(&self, source: &Spanned<String>) -> PathBuf {
        let from = Path::new(&self.loader.sources.file(source.span.file).name);
        from.parent().unwrap_or(Path::new("")).join(&source.value)
    }
}
