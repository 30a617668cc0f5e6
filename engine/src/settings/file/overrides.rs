//! Overrides from the command line: one line of TOML each, laid over the run file's document.
//!
//! A line is parsed behind as many blanks as the files before it are long, so that every span tells where it was written.

use marft_topologies::check::{Code, Problem};
use marft_topologies::spec::read::Reader;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Most names in one path.
const MAX_NAMES: usize = 16;

/// Overrides as TOML. A value that is none, such as a bare word, is text.
pub(super) fn lines(given: &[(String, String)]) -> Vec<String> {
    let line = |(path, value): &(String, String)| {
        let text = || toml::Value::String(value.clone()).to_string();
        let value = if DeValue::parse(value).is_ok() { value.trim().to_owned() } else { text() };
        format!("{} = {value}", path.trim())
    };
    given.iter().map(line).collect()
}

/// The lines as they are shown.
pub(super) fn shown(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The lines, each behind as many blanks as come before it.
pub(super) fn padded(lines: &[String], mut before: usize) -> Vec<String> {
    let mut padded = Vec::with_capacity(lines.len());
    for line in lines {
        padded.push(" ".repeat(before) + line);
        before += line.len() + 1;
    }
    padded
}

/// A change: a document of one path, and how many names the path has.
pub(super) struct Change<'l> {
    pub(super) document: DeValue<'l>,
    names: usize,
}

/// Parses one line; `None` means a problem was reported.
pub(super) fn parse<'l>(line: &'l str, reader: &mut Reader) -> Option<Change<'l>> {
    let start = line.len() - line.trim_start().len();
    let path = line[start..].split('=').next().unwrap_or_default().trim_end();
    let plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-+".contains(c));
    let names = path.split('.').map(str::trim);
    let length = names.clone().count();
    if !names.clone().all(plain) || length > MAX_NAMES {
        let span = reader.span(start..start + path.len());
        let message = format!("`{path}` is no path of keys");
        reader.report(Problem::new(Code::Syntax, message, span).help("write `path.to.key=value`"));
        return None;
    }
    match DeTable::parse(line) {
        Ok(table) => Some(Change { document: DeValue::Table(table.into_inner()), names: length }),
        Err(error) => {
            let span = reader.span(error.span().unwrap_or(start..line.len()));
            let problem = Problem::new(Code::Syntax, format!("not valid TOML: {}", error.message().trim()), span);
            reader.report(problem.help("write `path.to.key=value`"));
            None
        }
    }
}

/// Lays a change over the document: its value replaces what stands at its path.
pub(super) fn apply<'l>(document: &mut DeValue<'l>, change: Change<'l>, reader: &mut Reader) {
    if let (DeValue::Table(document), DeValue::Table(inner)) = (document, change.document) {
        lay(document, inner, change.names, reader);
    }
}

/// Tables are merged along the path, on which a number names an element of a list; `names` are left of the path.
fn lay<'l>(document: &mut DeTable<'l>, change: DeTable<'l>, names: usize, reader: &mut Reader) {
    for (key, value) in change {
        let name = key.get_ref().to_string();
        let span = value.span();
        match (document.get_mut(name.as_str()).map(Spanned::get_mut), value.into_inner()) {
            (Some(DeValue::Table(old)), DeValue::Table(new)) if names > 1 => lay(old, new, names - 1, reader),
            (Some(DeValue::Array(old)), DeValue::Table(new)) if names > 1 => {
                elements(&name, old, new, names - 1, reader);
            }
            (None, DeValue::Table(new))
                if names > 1 && new.keys().all(|key| key.get_ref().parse::<usize>().is_ok()) =>
            {
                elements(&name, &mut [], new, names - 1, reader);
            }
            (_, new) => {
                // The key comes with the value, so that problems point at what was said last.
                document.remove(name.as_str());
                document.insert(key, Spanned::new(span, new));
            }
        }
    }
}

fn elements<'l>(list: &str, old: &mut [Spanned<DeValue<'l>>], new: DeTable<'l>, names: usize, reader: &mut Reader) {
    for (index, value) in new {
        let length = old.len();
        let Some(element) = index.get_ref().parse().ok().and_then(|at: usize| old.get_mut(at)) else {
            let message = format!("`{list}` has no element `{}`", index.get_ref());
            let help = match length {
                0 => format!("there is no `{list}`; give the whole list"),
                1 => "its only element is 0".to_owned(),
                _ => format!("its elements are 0 to {}", length - 1),
            };
            reader.report(Problem::new(Code::DanglingReference, message, reader.span(index.span())).help(help));
            continue;
        };
        let span = value.span();
        match (element.get_mut(), value.into_inner()) {
            (DeValue::Table(old), DeValue::Table(new)) if names > 1 => lay(old, new, names - 1, reader),
            (_, new) => *element = Spanned::new(span, new),
        }
    }
}
