//! `marft score`: the log-probability of every token of given sequences.

use std::cell::OnceCell;
use std::io::{BufRead as _, Write as _};
use std::ops::Range;
use std::path::PathBuf;

use marft::agents::lora::{LoraAdapter, LoraError, Run, SegmentAdapters, load_adapter};
use marft::agents::model::{AdaptersOf, Decoder, ModelError, Placement, RowAdapters};
use marft::agents::pretrained::{Location, PretrainedError};
use marft::agents::text::{Conversation, Text, TextError};
use miette::{IntoDiagnostic as _, WrapErr as _};
use serde::Deserialize;
use serde_json::{Value, json};

use super::model::{cannot_open, find};
use super::{Exit, Output};

/// Compute log-probabilities of token sequences and conversations
///
/// Reads one JSON object a line from stdin: {"tokens": […]}, or {"messages": […]} with optional "tools", which the
/// model's chat template renders with the generation prompt. Writes one object a line: "tokens", and "logprobs" with one
/// value for each token after the first.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An alias, a folder, a `.gguf` file or `random:…`
    #[arg(long)]
    model: String,
    /// Compute type
    #[arg(long, value_enum, default_value = "f32")]
    dtype: Dtype,
    /// A folder with a LoRA adapter in PEFT format
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// How to write the scores
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Dtype {
    F32,
    Bf16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    tokens: Option<Vec<u32>>,
    messages: Option<Vec<Value>>,
    tools: Option<Vec<Value>>,
}

/// Why a line cannot be scored.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error("it is not such an object")]
    Json(#[from] serde_json::Error),
    #[error("it needs either `tokens` or `messages`")]
    Shape,
    #[error("token {id} is outside the vocabulary of {vocabulary}")]
    Vocabulary { id: u32, vocabulary: usize },
    #[error("{tokens} tokens exceed the model's context of {context}")]
    Context { tokens: usize, context: usize },
    #[error("`messages` need the model's tokenizer and chat template")]
    Open(#[from] PretrainedError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error(transparent)]
    Model(#[from] ModelError),
}

struct Scorer {
    decoder: Decoder,
    location: Location,
    /// Opened for the first line that needs it.
    text: OnceCell<Text>,
    adapter: Option<LoraAdapter>,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        let Self { model, dtype, adapter, format: Format::Json } = self;
        let placement = match dtype {
            Dtype::F32 => Placement::EXACT,
            Dtype::Bf16 => Placement::FAST,
        };
        let location = find(&model)?;
        let decoder = location.decoder(placement).map_err(|error| cannot_open(&model, error.into()))?;
        let load = |folder: PathBuf| -> Result<LoraAdapter, LoraError> {
            let mut adapter = load_adapter(&folder, decoder.config(), placement)?;
            adapter.refresh();
            Ok(adapter)
        };
        let adapter = adapter.map(load).transpose().into_diagnostic().wrap_err("cannot load the adapter")?;
        let scorer = Scorer { decoder, location, text: OnceCell::new(), adapter };
        for (number, line) in (1..).zip(std::io::stdin().lock().lines()) {
            let line = line.into_diagnostic().wrap_err("cannot read stdin")?;
            if line.trim().is_empty() {
                continue;
            }
            let scored =
                scorer.line(&line).into_diagnostic().wrap_err_with(|| format!("cannot score line {number}"))?;
            writeln!(output, "{scored}").into_diagnostic().wrap_err("could not write to stdout")?;
            // whoever writes a line may wait for its scores before the next
            output.finish()?;
        }
        Ok(Exit::Success)
    }
}

impl Scorer {
    fn line(&self, line: &str) -> Result<Value, LineError> {
        let tokens = match serde_json::from_str(line)? {
            Line { tokens: Some(tokens), messages: None, tools: None } => tokens,
            Line { tokens: None, messages: Some(messages), tools } => {
                let tools = tools.as_deref();
                let conversation =
                    Conversation { messages: &messages, tools, generation_prompt: true, ..Conversation::default() };
                self.text()?.encode_conversation(conversation)?
            }
            _ => return Err(LineError::Shape),
        };
        let config = self.decoder.config();
        if let Some(&id) = tokens.iter().find(|&&id| id as usize >= config.vocab) {
            return Err(LineError::Vocabulary { id, vocabulary: config.vocab });
        }
        if tokens.len() > config.context {
            return Err(LineError::Context { tokens: tokens.len(), context: config.context });
        }
        let of = |rows: Range<usize>| {
            let run = Run { rows: 0..rows.len(), adapter: self.adapter.as_ref() };
            Box::new(SegmentAdapters::new(vec![run], false)) as Box<dyn RowAdapters + '_>
        };
        let adapters: Option<&AdaptersOf<'_>> = if self.adapter.is_some() { Some(&of) } else { None };
        let logprobs = self.decoder.score(&tokens, adapters)?;
        Ok(json!({"tokens": tokens, "logprobs": logprobs}))
    }

    fn text(&self) -> Result<&Text, PretrainedError> {
        if let Some(text) = self.text.get() {
            return Ok(text);
        }
        let text = self.location.text()?;
        Ok(self.text.get_or_init(|| text))
    }
}
