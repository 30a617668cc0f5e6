//! State variables and memories: what outlives a message.

use serde_json::Value;

use super::NodeId;
use crate::spec::{Evict, MemoryIndex, MemoryKind, PortType, Scope};

/// A typed variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Its name in templates, guards and `sets`.
    pub name: String,
    /// Its type.
    pub kind: PortType,
    /// How long it lives.
    pub scope: Scope,
    /// Value at the start of its scope.
    pub init: Option<Value>,
}

/// A memory that agents read and write.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// Its name in templates.
    pub name: String,
    /// Shape of what it holds.
    pub kind: MemoryKind,
    /// How long it lives.
    pub scope: Scope,
    /// Most records.
    pub capacity: u32,
    /// Which record goes when it is full.
    pub evict: Evict,
    /// How records are found.
    pub index: MemoryIndex,
    /// Agent that decides ADD / UPDATE / DELETE / NOOP for each write; without it every write is an ADD.
    pub curator: Option<NodeId>,
    /// The curator is asked once per this many writes.
    pub every: u32,
}
