//! What is read out of a node's words, and who may see it.

use std::sync::Arc;

use regex::Regex;

use super::NodeId;
use crate::spec::{ParseErrorWord, PortType};

/// How an agent's words are read.
#[derive(Debug, Clone)]
pub struct Output {
    /// Named fields, in declared order.
    pub fields: Vec<Field>,
    /// The words are JSON and must satisfy this schema; its top-level properties are fields too.
    pub schema: Option<Arc<serde_json::Value>>,
    /// What follows when a required field or the schema does not parse.
    pub on_parse_error: OnParseError,
    /// Text matching this never leaves its speaker. Default: `<think>…</think>`.
    pub scratch: Option<Regex>,
}

/// One output field.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Where it is found.
    pub find: Find,
    /// The type of what is found.
    pub kind: PortType,
    /// Most items, for lists.
    pub max_items: Option<u32>,
    /// Whether its absence is a parse error.
    pub required: bool,
    /// Who may receive it.
    pub visible: Visibility,
}

/// Where a field is found in the words.
#[derive(Debug, Clone)]
pub enum Find {
    /// First capture group (the whole match without one) of the last match.
    Regex(Regex),
    /// A top-level property of the JSON output.
    Property,
}

/// Who may receive a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visibility {
    /// Any node with an edge from the speaker.
    Public,
    /// Nobody but the speaker.
    Private,
    /// These nodes only.
    Only(Vec<NodeId>),
}

/// What follows when an output does not parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnParseError {
    /// Further attempts; each may cost a whole turn more.
    pub retries: u32,
    /// What follows when they fail too.
    pub then: ParseErrorWord,
}
