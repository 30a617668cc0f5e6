//! The document: the run file with the overrides laid over it, read into what is typed.

use marft_topologies::check::Problem;
use marft_topologies::source::{Sources, Span};
use marft_topologies::spec::read::{Read as _, Reader, Value, parse_document};
use toml::de::DeValue;

use super::typed::RunFile;
use super::{aliases, overrides};

/// The name under which problems of overrides are shown.
const OVERRIDES: &str = "--set";

/// Reads a run file. What could be read comes even with problems.
pub(super) fn read(
    sources: &mut Sources,
    text: &str,
    name: &str,
    given: &[(String, String)],
) -> (Option<RunFile>, Vec<Problem>) {
    let (file, document, mut problems) = parse_document(sources, name, text);
    let Some(document) = document else { return (None, problems) };
    let mut document = DeValue::Table(document);
    // Offsets behind the file, its end included, are those of the overrides.
    let end = text.len() + 1;
    let lines = overrides::lines(given);
    let mut reader = if given.is_empty() {
        Reader::new(file)
    } else {
        Reader::of_two(file, end, sources.add(OVERRIDES, overrides::shown(&lines)))
    };
    aliases::canonical(&mut document, &mut reader);
    let padded = overrides::padded(&lines, end);
    for line in &padded {
        let Some(mut change) = overrides::parse(line, &mut reader) else { continue };
        aliases::canonical(&mut change.document, &mut reader);
        overrides::apply(&mut document, change, &mut reader);
    }
    let typed = RunFile::read(Value { value: &document, span: Span::new(file, 0..0) }, &mut reader);
    problems.extend(reader.into_problems());
    (typed, problems)
}
