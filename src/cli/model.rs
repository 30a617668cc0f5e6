//! `marft model`: fetch models, list those at hand, look at one.

use marft::agents::model::Placement;
use marft::agents::pretrained::{CATALOGUE, Entry, Hub, HubError, Location, PretrainedError, Store};
use marft::agents::text::Text;
use miette::{Diagnostic, IntoDiagnostic as _};
use serde_json::{Value, json};

use super::{Exit, Output};

/// Fetch, list and look at models
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Fetch a model into the cache, unless it is there
    Pull {
        /// An alias (`marft model list` names them), or ORG/NAME on the model hub
        name: String,
    },
    /// List the models that have an alias and those in the cache
    List {
        /// How to write them
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Show a model's shape, its tokenizer and what it takes in memory
    Show {
        /// An alias, a folder, a `.gguf` file or `random:…`
        name: String,
        /// How to write it
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Lines for people.
    Text,
    /// JSON.
    Json,
}

/// A model that cannot be used, and what may help.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot open the model `{name}`")]
struct CannotOpen {
    name: String,
    #[source]
    source: PretrainedError,
    #[help]
    help: Option<String>,
}

/// Turns a failure into a report on the model `name`.
pub(super) fn cannot_open(name: &str, source: PretrainedError) -> miette::Report {
    let help = match &source {
        PretrainedError::NotInstalled { name } => Some(format!("run `marft model pull {name}`")),
        PretrainedError::Hub { source: HubError::Unreachable { .. } | HubError::Offline, .. } => {
            Some("a local folder with `config.json` and the weights works as well: give its path".to_owned())
        }
        PretrainedError::Unknown { .. } => Some("`marft model list` names those at hand".to_owned()),
        PretrainedError::Hash { .. } => Some("what was fetched has been removed; pull again".to_owned()),
        _ => None,
    };
    CannotOpen { name: name.to_owned(), source, help }.into()
}

/// Finds the model called `name`.
pub(super) fn find(name: &str) -> miette::Result<Location> {
    Store::user().and_then(|store| Location::resolve(name, &store)).map_err(|error| cannot_open(name, error))
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        match self.what {
            What::Pull { name } => pull(&name, output)?,
            What::List { format } => list(format, output)?,
            What::Show { name, format } => show(&name, format, output)?,
        }
        Ok(Exit::Success)
    }
}

fn pull(name: &str, output: &mut Output) -> miette::Result<()> {
    let mut note = |step: &str| tracing::info!("{step}");
    let pulled = Store::user().and_then(|store| match Entry::named(name) {
        Some(entry) => store.pull(entry, &mut note),
        None => store.pull_hub(name, &Hub::from_env(), &mut note),
    });
    let folder = pulled.map_err(|error| cannot_open(name, error))?;
    output.text(&format!("{}\n", folder.display()))
}

fn list(format: Format, output: &mut Output) -> miette::Result<()> {
    let store = Store::user().into_diagnostic()?;
    let installed = store.list().into_diagnostic()?;
    let mut rows = Vec::new();
    for entry in &CATALOGUE {
        let there = installed.iter().any(|model| model.name == entry.name);
        rows.push((entry.name.to_owned(), there, entry.bytes, entry.about.to_owned()));
    }
    for model in installed.into_iter().filter(|model| Entry::named(&model.name).is_none()) {
        rows.push((model.name, true, model.bytes, model.folder.display().to_string()));
    }
    let text = match format {
        Format::Json => {
            let models: Vec<Value> = rows
                .into_iter()
                .map(|(name, there, bytes, about)| json!({"name": name, "installed": there, "bytes": bytes, "about": about}))
                .collect();
            format!("{}\n", Value::from(models))
        }
        Format::Text => rows
            .into_iter()
            .map(|(name, there, bytes, about)| {
                let state = if there { "here" } else { "not fetched" };
                format!("{name:<28} {state:<12} {:>6} MB  {about}\n", bytes / 1_000_000)
            })
            .collect(),
    };
    output.text(&text)
}

fn show(name: &str, format: Format, output: &mut Output) -> miette::Result<()> {
    let location = find(name)?;
    let config = location.weights().map_err(|error| cannot_open(name, error.into()))?.config;
    let text: Text = location.text().map_err(|error| cannot_open(name, error))?;
    let (parameters, narrow) = (config.parameters(), Placement::FAST.kind);
    let facts = json!({
        "architecture": config.architecture.name(),
        "parameters": parameters,
        "layers": config.layers,
        "hidden": config.hidden,
        "heads": config.heads,
        "kv_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "ffn": config.ffn,
        "vocabulary": config.vocab,
        "context": config.context,
        "tied_head": config.tied,
        "bytes_bf16": config.weight_bytes(narrow),
        "bytes_bf16_packed": config.weight_bytes(narrow) + config.packed_bytes(narrow),
        "kv_bytes_per_token_bf16": 4 * config.layers * config.kv_heads * config.head_dim,
        "chat_template": text.has_template(),
        "begin": text.specials().bos,
        "end": text.specials().eos,
        "end_ids": text.specials().end_ids,
    });
    let shown = match format {
        Format::Json => format!("{facts}\n"),
        Format::Text => {
            let lines = facts.as_object().into_iter().flatten();
            lines.map(|(key, value)| format!("{:<24} {value}\n", key.replace('_', " "))).collect()
        }
    };
    output.text(&shown)
}
