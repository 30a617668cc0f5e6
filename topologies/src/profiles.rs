//! MARFT reference profiles: a JSON list of roles that speak in order, each seeing everyone before it.
//!
//! The shape is that of the reference implementation (solo, duo, trio, quartet, octet): objects with `role`, `prompt`,
//! `with_answer` and, optionally, `device`. It is read into the same [`TeamSpec`] as a TOML file, with full
//! lower-triangular D.

use serde_json::Value;

use crate::check::{Code, Problem};
use crate::lower::Loader;
use crate::source::{FileId, Span, Spanned};
use crate::spec::{AgentSpec, HeaderSpec, Named, NodeSpec, TeamSpec};

const KEYS: &[&str] = &["role", "prompt", "with_answer", "device"];

/// Whether a file is a JSON list of profiles rather than TOML: a TOML document that opens with `[` goes on with a name.
pub(crate) fn looks_like_profiles(source: &str) -> bool {
    let rest = source.trim_start_matches('\u{feff}').trim_start();
    rest.strip_prefix('[').is_some_and(|rest| matches!(rest.trim_start().chars().next(), Some('{' | ']')))
}

impl Loader {
    /// Reads a list of profiles.
    pub(crate) fn parse_profiles(&mut self, name: &str, text: &str) -> (FileId, Option<TeamSpec>, Vec<Problem>) {
        let file = self.sources.add(name, text);
        let profiles: Vec<Value> = match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
            Ok(profiles) => profiles,
            Err(error) => {
                let at = byte_at(text, error.line(), error.column());
                let problem = Problem::new(Code::Syntax, format!("not valid JSON: {error}"), Span::new(file, at..at));
                return (
                    file,
                    None,
                    vec![problem.help("a profile file is a list of objects with `role` and `prompt`")],
                );
            }
        };
        let mut reading = Reading { file, text, at: 0, problems: Vec::new() };
        let spec = reading.team(name, &profiles);
        (file, Some(spec), reading.problems)
    }
}

struct Reading<'t> {
    file: FileId,
    text: &'t str,
    /// Where the search for the next profile's text starts: spans are found again in the source, in order.
    at: usize,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn team(&mut self, name: &str, profiles: &[Value]) -> TeamSpec {
        let stem =
            std::path::Path::new(name).file_stem().map_or("team".into(), |stem| stem.to_string_lossy().into_owned());
        let start = Span::new(self.file, 0..0);
        let mut agents: Vec<(Spanned<String>, Spanned<AgentSpec>)> = Vec::new();
        for (index, profile) in profiles.iter().enumerate() {
            if let Some((label, agent)) = self.profile(index, profile, &agents) {
                agents.push((label, agent));
            }
        }
        let header = HeaderSpec { name: Some(Spanned::new(stem, start)), ..HeaderSpec::default() };
        let mut spec = TeamSpec { team: Some(Spanned::new(header, start)), ..TeamSpec::default() };
        spec.body.agents = Some(Spanned::new(Named(agents), start));
        spec
    }

    fn profile(
        &mut self,
        index: usize,
        profile: &Value,
        before: &[(Spanned<String>, Spanned<AgentSpec>)],
    ) -> Option<(Spanned<String>, Spanned<AgentSpec>)> {
        let Some(members) = profile.as_object() else {
            self.report(format!("profile {index} is not an object"), self.at..self.at);
            return None;
        };
        let role_at = self.find_string(members.get("role").and_then(Value::as_str).unwrap_or_default());
        for key in members.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let span = Span::new(self.file, role_at.clone());
            let near = crate::check::names::nearest(key, KEYS.iter().copied());
            let help = near.map_or_else(
                || "profiles have `role`, `prompt`, `with_answer` and `device`".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            self.problems.push(
                Problem::new(Code::UnknownKey, format!("unknown key `{key}` in profile {index}"), span).help(help),
            );
        }
        let text = |reading: &mut Self, key: &str| match members.get(key).map(Value::as_str) {
            Some(Some(text)) if !text.trim().is_empty() => Some(text.to_owned()),
            Some(Some(_)) => {
                reading.report(format!("`{key}` of profile {index} is empty"), role_at.clone());
                None
            }
            Some(None) => {
                reading.report(format!("`{key}` of profile {index} is not a string"), role_at.clone());
                None
            }
            None => {
                reading.report(format!("profile {index} has no `{key}`"), role_at.clone());
                None
            }
        };
        let role = text(self, "role");
        let prompt = text(self, "prompt");
        let graded = match members.get("with_answer") {
            None => false,
            Some(Value::Bool(graded)) => *graded,
            Some(_) => {
                self.report(format!("`with_answer` of profile {index} is not true or false"), role_at.clone());
                false
            }
        };
        let device = match members.get("device") {
            None | Some(Value::Null) => None,
            Some(Value::String(device)) => Some(device.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(_) => {
                self.report(format!("`device` of profile {index} is neither a name nor a number"), role_at.clone());
                None
            }
        };
        let span = Span::new(self.file, role_at);
        let (role, prompt) = (role?, prompt?);
        let mut sees = vec![Spanned::new("task".to_owned(), span)];
        sees.extend(before.iter().map(|(label, _)| Spanned::new(label.value.clone(), span)));
        let agent = AgentSpec {
            node: NodeSpec { sees: Some(Spanned::new(sees, span)), ..NodeSpec::default() },
            // The prompt is text: braces in it, as in LaTeX, are no markup.
            role: Some(Spanned::new(literal(&prompt), span)),
            policy: Some(Spanned::new(role.clone(), span)),
            graded: Some(Spanned::new(graded, span)),
            device: device.map(|device| Spanned::new(device, span)),
            ..AgentSpec::default()
        };
        Some((Spanned::new(label(&role, before), span), Spanned::new(agent, span)))
    }

    fn report(&mut self, message: String, at: std::ops::Range<usize>) {
        let problem = Problem::new(Code::BadProfile, message, Span::new(self.file, at));
        self.problems.push(problem.help("a profile is { \"role\": …, \"prompt\": …, \"with_answer\": true }"));
    }

    /// The next place where a string is written as JSON; the current place when it is written with escapes.
    fn find_string(&mut self, value: &str) -> std::ops::Range<usize> {
        let quoted = Value::from(value).to_string();
        match self.text[self.at..].find(&quoted) {
            Some(offset) => {
                let start = self.at + offset;
                self.at = start + quoted.len();
                start..self.at
            }
            None => self.at..self.at,
        }
    }
}

/// Text as a template that renders to it.
fn literal(text: &str) -> String {
    if ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark)) {
        format!("{{% raw %}}{}{{% endraw %}}", text.replace("{% endraw", "{% endraw %}{{ '{% endraw' }}{% raw %}"))
    } else {
        text.to_owned()
    }
}

/// A role as a name for templates, distinct from those before it.
fn label(role: &str, before: &[(Spanned<String>, Spanned<AgentSpec>)]) -> String {
    let word: String = role
        .trim()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .take(48)
        .collect();
    let word = if word.starts_with(|c: char| c.is_ascii_alphabetic()) { word } else { format!("agent_{word}") };
    let taken = |label: &str| before.iter().any(|(known, _)| known.value == label);
    let mut label = word.clone();
    let mut copy = 2;
    while taken(&label) {
        label = format!("{word}_{copy}");
        copy += 1;
    }
    label
}

fn byte_at(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    text.floor_char_boundary((start + column.saturating_sub(1)).min(text.len()))
}
