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

/// Parses one line; `None` means a problem was reported.
pub(super) fn parse<'l>(line: &'l str, reader: &mut Reader) -> Option<DeValue<'l>> {
    let start = line.len() - line.trim_start().len();
    let path = line[start..].split('=').next().unwrap_or_default().trim_end();
    let plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-+".contains(c));
    let names = path.split('.').map(str::trim);
    let quoted: Vec<_> = names.clone().filter(|name| !plain(name)).collect();
    if !quoted.is_empty() || names.count() > MAX_NAMES {
        let span = reader.span(start..start + path.len());
        let message = format!("`{path}` is no path of keys");
        reader.report(Problem::new(Code::Syntax, message, span).help("write `path.to.key=value`"));
        return None;
    }
    match DeTable::parse(line) {
        Ok(table) => Some(DeValue::Table(table.into_inner())),
        Err(error) => {
            let span = reader.span(error.span().unwrap_or(start..line.len()));
            let problem = Problem::new(Code::Syntax, format!("not valid TOML: {}", error.message().trim()), span);
            reader.report(problem.help("write `path.to.key=value`"));
            None
        }
    }
}

/// Lays `change` over `document`: tables are merged, a number names an element of a list, all else is replaced.
pub(super) fn apply<'l>(document: &mut DeTable<'l>, change: DeTable<'l>, reader: &mut Reader) {
    for (key, value) in change {
        let name = key.get_ref().to_string();
        let Some(old) = document.get_mut(name.as_str()) else {
            document.insert(key, value);
            continue;
        };
        let span = value.span();
        match (old.get_mut(), value.into_inner()) {
            (DeValue::Table(old), DeValue::Table(new)) => apply(old, new, reader),
            (DeValue::Array(old), DeValue::Table(new)) => elements(&name, old, new, reader),
            (_, new) => {
                // The key comes with the value, so that problems point at what was said last.
                document.remove(name.as_str());
                document.insert(key, Spanned::new(span, new));
            }
        }
    }
}

fn elements<'l>(list: &str, old: &mut toml::de::DeArray<'l>, new: DeTable<'l>, reader: &mut Reader) {
    for (index, value) in new {
        let length = old.len();
        let Some(element) = index.get_ref().parse().ok().and_then(|at: usize| old.get_mut(at)) else {
            let message = format!("`{list}` has no element `{}`", index.get_ref());
            let help = match length {
                0 => "it is empty".to_owned(),
                _ => format!("its elements are 0 to {}", length - 1),
            };
            reader.report(Problem::new(Code::DanglingReference, message, reader.span(index.span())).help(help));
            continue;
        };
        let span = value.span();
        match (element.get_mut(), value.into_inner()) {
            (DeValue::Table(old), DeValue::Table(new)) => apply(old, new, reader),
            (_, new) => *element = Spanned::new(span, new),
        }
    }
}
