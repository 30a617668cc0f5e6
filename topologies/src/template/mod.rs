//! Templates: minijinja with a declared set of variables, a fuel limit, and no access to anything else.

use std::sync::{Arc, LazyLock};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};

/// Most instructions of one rendering: no template can hang a run.
const FUEL: u64 = 100_000;
/// Most bytes of one template.
pub(crate) const MAX_BYTES: usize = 256 * 1024;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);

/// An engine with this crate's limits and nothing to load from.
pub(crate) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the standard delimiters are distinct"));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment
}

/// A checked template. Text without markup is kept as it is and rendered without an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: Arc<str>,
    literal: bool,
}

impl Template {
    /// Text taken as it is, even if it looks like markup.
    pub fn literal(text: &str) -> Self {
        Self { source: text.into(), literal: true }
    }

    /// Compiles a template; the error is one line.
    pub fn compile(source: &str) -> Result<Self, String> {
        if !["{{", "{%", "{#"].iter().any(|mark| source.contains(mark)) {
            return Ok(Self::literal(source));
        }
        if source.len() > MAX_BYTES {
            return Err(format!("is {} bytes long; at most {MAX_BYTES} are allowed", source.len()));
        }
        ENVIRONMENT.template_from_str(source).map_err(|error| describe(&error))?;
        Ok(Self { source: source.into(), literal: false })
    }

    /// As typed.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it is plain text.
    pub fn is_literal(&self) -> bool {
        self.literal
    }

    /// Names it uses without defining them, `name` or `name.field`, sorted.
    pub fn variables(&self) -> Vec<String> {
        if self.literal {
            return Vec::new();
        }
        let Ok(template) = ENVIRONMENT.template_from_str(&self.source) else {
            return Vec::new();
        };
        let mut names: Vec<_> = template.undeclared_variables(true).into_iter().collect();
        names.sort();
        names
    }

    /// Renders it with these variables.
    pub fn render(&self, variables: &serde_json::Map<String, serde_json::Value>) -> Result<String, RenderError> {
        if self.literal {
            return Ok(self.source.to_string());
        }
        let variables = minijinja::Value::from(Serde(variables));
        ENVIRONMENT.render_str(&self.source, variables).map_err(RenderError::from)
    }
}

/// Why a template could not be rendered: a filter refused its input, or the fuel ran out.
#[derive(Debug, Clone, thiserror::Error)]
#[error("render template: {0}")]
pub struct RenderError(String);

impl From<minijinja::Error> for RenderError {
    fn from(error: minijinja::Error) -> Self {
        Self(describe(&error))
    }
}

fn describe(error: &minijinja::Error) -> String {
    let text = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) if line > 1 => format!("{text} (line {line} of the template)"),
        _ => text,
    }
}
