//! Agents as typed: role, sampling, output fields, routes.

use schemars::JsonSchema;
use serde::Serialize;
use toml::de::DeValue;

use super::read::{Read, Reader, Value};
use super::{ConstrainWord, Context, Json, Named, NodeSpec, ParseErrorWord, PortType, UnparseableWord};
use crate::source::Spanned;
use crate::table;

table! {
    /// An agent.
    AgentSpec {
        + /// What every node has.
        node: NodeSpec;
        /// System text, a template.
        role: String, required;
        /// Template of the observation; by default the task followed by the messages.
        prompt: String;
        /// Its policy; the agent's own name when absent. Agents that name the same policy share weights.
        policy: String;
        /// How it samples.
        sampling: SamplingSpec;
        /// Output fields: name = regex, or name = { regex = …, type = …, … }.
        output: Named<FieldSpec>;
        /// JSON Schema that the whole output must satisfy; its properties become fields.
        schema: Json;
        /// Form that every answer is held to while it is sampled: `"schema"` for its own `schema`, or a form of its own.
        constrain: ConstrainSpec;
        /// What follows when the output does not parse.
        on_parse_error: OnParseErrorSpec;
        /// Regex of what never leaves the agent; `<think>…</think>` when absent, `""` for nothing.
        scratch: String;
        /// Tools it may call.
        tools: Vec<Spanned<String>>;
        /// Most tool calls in one turn; 4 when absent and there are tools.
        max_tool_calls: u32;
        /// Memories it reads.
        reads: Vec<Spanned<String>>;
        /// Memories it writes.
        writes: Vec<Spanned<String>>;
        /// What it carries from turn to turn; growing when absent.
        context: Context;
        /// Context window in tokens, to be checked against the longest observation.
        window: u32;
        /// Whether it is trained; local policies are, unless said otherwise.
        trainable: bool;
        /// Whether rewards grade its output.
        graded: bool;
        /// Optimiser overrides.
        optimizer: OptimizerSpec;
        /// Device hint.
        device: String;
        /// Constants for its templates.
        vars: Named<Json>;
        /// Makes it a router: its output names who speaks next.
        routes: RoutesSpec;
    }
}

table! {
    /// How an agent samples.
    SamplingSpec {
        /// 0 is greedy; 1 when absent.
        temperature: f64;
        /// Nucleus mass in (0, 1].
        top_p: f64;
        /// Most tokens considered; 0 = all.
        top_k: u32;
        /// Least probability relative to the best token, in [0, 1].
        min_p: f64;
        /// Most tokens of one output; 512 when absent.
        max_tokens: u32;
        /// Texts that end the output.
        stop: Vec<Spanned<String>>;
        /// Token ids that end the output.
        stop_ids: Vec<Spanned<u32>>;
    }
}

table! {
    /// Optimiser overrides.
    OptimizerSpec {
        /// Learning rate.
        lr: f64;
        /// Decoupled weight decay.
        weight_decay: f64;
        /// Clip of the gradient norm.
        clip: f64;
    }
}

table! {
    /// A router: dynamic D.
    RoutesSpec {
        /// Nodes it may name.
        to: Vec<Spanned<String>>, required;
        /// Output field with the choice; `next` when absent.
        field: String;
        /// Words that end it; `done` when absent.
        done: Vec<Spanned<String>>;
        /// Most decisions; required.
        max_steps: u32;
        /// Most nodes named in one decision; 1 when absent.
        several: u32;
        /// What follows an output that names no target; the block ends when absent.
        unparseable: UnparseableWord;
        /// For `unparseable = "default"`: the target.
        default: String;
        /// Whether it speaks again after a target; true when absent.
        returns: bool;
    }
}

table! {
    /// An output field, long form.
    FieldTable {
        /// Where it is: first capture group of the last match.
        regex: String;
        /// Its type; text when absent.
        kind = "type": PortType;
        /// For lists: most items.
        max_items: u32;
        /// Whether its absence is a parse error; true when absent.
        required: bool;
        /// Kept from everyone.
        private: bool;
        /// Nodes that may receive it; all when absent.
        visible_to: Vec<Spanned<String>>;
    }
}

table! {
    /// What follows when an output does not parse, long form.
    OnParseErrorTable {
        /// Further attempts.
        retry: u32;
        /// What follows when they fail too; keep when absent.
        then: ParseErrorWord;
    }
}

table! {
    /// The form that answers are held to, long form: one of the two.
    ConstrainTable {
        /// What every whole answer matches, in the syntax of the regex crate without look-around.
        regex: String;
        /// JSON Schema that every answer satisfies.
        json_schema: Json;
    }
}

/// `constrain`: a word, or the long form.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ConstrainSpec {
    /// What the agent says elsewhere.
    Word(ConstrainWord),
    /// The long form.
    Table(Box<ConstrainTable>),
}

impl Read for ConstrainSpec {
    fn read(value: Value<'_, '_>, reader: &mut Reader) -> Option<Self> {
        match value.value {
            DeValue::String(_) => ConstrainWord::read(value, reader).map(Self::Word),
            DeValue::Table(_) => ConstrainTable::read(value, reader).map(|table| Self::Table(Box::new(table))),
            _ => {
                reader.wrong_type(value, "`\"schema\"` or a table");
                None
            }
        }
    }
}

/// An output field: a regex, or the long form.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum FieldSpec {
    /// A regex with a capture group.
    Regex(String),
    /// The long form.
    Table(Box<FieldTable>),
}

impl Read for FieldSpec {
    fn read(value: Value<'_, '_>, reader: &mut Reader) -> Option<Self> {
        match value.value {
            DeValue::String(text) => Some(Self::Regex(text.clone().into_owned())),
            DeValue::Table(_) => FieldTable::read(value, reader).map(|table| Self::Table(Box::new(table))),
            _ => {
                reader.wrong_type(value, "a regex or a table");
                None
            }
        }
    }
}

/// `on_parse_error`: a word, or the long form.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum OnParseErrorSpec {
    /// No retry.
    Word(ParseErrorWord),
    /// The long form.
    Table(OnParseErrorTable),
}

impl Read for OnParseErrorSpec {
    fn read(value: Value<'_, '_>, reader: &mut Reader) -> Option<Self> {
        match value.value {
            DeValue::String(_) => ParseErrorWord::read(value, reader).map(Self::Word),
            DeValue::Table(_) => OnParseErrorTable::read(value, reader).map(Self::Table),
            _ => {
                reader.wrong_type(value, "a word or a table");
                None
            }
        }
    }
}
