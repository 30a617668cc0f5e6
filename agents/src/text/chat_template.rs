//! Chat templates: Jinja programs that come with a model and turn a conversation into its prompt.
//!
//! They were written for Python's Jinja as `transformers` sets it up, so this does the same: blocks eat their line ends,
//! Python's string methods exist, `tojson` writes what `json.dumps` writes, values print as Python prints them.

use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value as Jinja, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};
use minijinja_contrib::pycompat::unknown_method_callback;
use regex::Regex;
use serde_json::{Map, Value};

use super::clock::strftime;
use super::error::TextError;
use super::python_json::dumps;
use super::specials::SpecialTokens;

const DEFAULT: &str = "default";
const TOOL_USE: &str = "tool_use";
/// Where a template's clock finds the time.
const NOW: &str = "marft_now";

/// The compiled templates of a model.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    has_tool_use: bool,
    /// As they came, by name.
    sources: Vec<(String, String)>,
}

/// What a template is given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conversation<'a> {
    /// Messages with `role`, `content` and whatever else the template reads.
    pub messages: &'a [Value],
    /// Tools as JSON schemas, if there are any.
    pub tools: Option<&'a [Value]>,
    /// Whether to open the assistant's turn.
    pub generation_prompt: bool,
    /// Further variables, such as `enable_thinking`.
    pub variables: Option<&'a Map<String, Value>>,
    /// The time that the template sees; the system's where absent. State it where a prompt must be reproducible.
    pub now: Option<SystemTime>,
}

impl ChatTemplate {
    /// Compiles `(name, source)` templates of the model `origin`. One is called `default`; one called `tool_use` serves
    /// conversations with tools.
    pub fn new(templates: impl IntoIterator<Item = (String, String)>, origin: &str) -> Result<Self, TextError> {
        let fault = |reason: String| TextError::Template { origin: origin.to_owned(), reason };
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| fault(describe(&error)))?);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_formatter(|out, _, value| match value.kind() {
            ValueKind::None => out.write_str("None").map_err(Error::from),
            ValueKind::Bool => out.write_str(if value.is_true() { "True" } else { "False" }).map_err(Error::from),
            ValueKind::Undefined => Ok(()),
            _ => write!(out, "{value}").map_err(Error::from),
        });
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", |message: String| -> Result<Jinja, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", |state: &State<'_, '_>, format: String| {
            let now = state.lookup(NOW).and_then(|now| i64::try_from(now).ok());
            strftime(&format, now.unwrap_or_default())
        });
        let generation =
            Regex::new(r"\{%(-?)\s*(?:end)?generation\s*(-?)%\}").map_err(|error| fault(error.to_string()))?;
        let (mut has_default, mut has_tool_use) = (false, false);
        let sources: Vec<_> = templates.into_iter().collect();
        for (name, source) in sources.clone() {
            has_default |= name == DEFAULT;
            has_tool_use |= name == TOOL_USE;
            // The marks of trained spans are not Jinja's; a comment keeps what they do to spaces.
            let source = generation.replace_all(&source, "{#${1}${2}#}").into_owned();
            environment.add_template_owned(name, source).map_err(|error| fault(describe(&error)))?;
        }
        if has_default {
            Ok(Self { environment, has_tool_use, sources })
        } else {
            Err(fault("none is the default".to_owned()))
        }
    }

    /// `(name, source)` of the templates, as they came.
    pub fn sources(&self) -> &[(String, String)] {
        &self.sources
    }

    /// Renders a conversation.
    pub fn render(&self, conversation: Conversation<'_>, specials: &SpecialTokens) -> Result<String, TextError> {
        let refused = |error: Error| TextError::Refused { reason: describe(&error) };
        let tools = conversation.tools.filter(|tools| !tools.is_empty());
        let name = if tools.is_some() && self.has_tool_use { TOOL_USE } else { DEFAULT };
        let seconds = match conversation.now.unwrap_or_else(SystemTime::now).duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_secs() as i64,
            Err(before) => -(before.duration().as_secs() as i64),
        };
        let mut context = Map::new();
        for (key, token) in [
            ("bos_token", &specials.bos),
            ("eos_token", &specials.eos),
            ("pad_token", &specials.pad),
            ("unk_token", &specials.unk),
        ] {
            context.extend(token.clone().map(|token| (key.to_owned(), token.into())));
        }
        context.extend(conversation.variables.cloned().unwrap_or_default());
        context.insert("messages".to_owned(), conversation.messages.into());
        context.insert("tools".to_owned(), tools.map_or(Value::Null, Value::from));
        context.insert("documents".to_owned(), Value::Null);
        context.insert("add_generation_prompt".to_owned(), conversation.generation_prompt.into());
        context.insert(NOW.to_owned(), seconds.into());
        let template = self.environment.get_template(name).map_err(refused)?;
        template.render(Jinja::from(Serde(context))).map_err(refused)
    }
}

fn tojson(value: &Jinja, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let mut json = serde_json::to_value(value)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, "not representable as JSON").with_source(error))?;
    if options.get::<Option<bool>>("sort_keys")? == Some(true) {
        json.sort_all_objects();
    }
    Ok(dumps(&json, indent))
}

/// The template engine's message in one line.
fn describe(error: &Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("{detail} (line {line})"),
        None => detail,
    }
}
