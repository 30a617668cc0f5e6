//! State variables, memories and budgets as typed.

use super::{Evict, Json, MemoryIndex, MemoryKind, OutcomeWord, PortType, Scope};
use crate::table;

table! {
    /// A state variable.
    VariableSpec {
        /// Its type.
        kind = "type": PortType, required;
        /// How long it lives; the episode when absent.
        scope: Scope;
        /// Value at the start of its scope.
        init: Json;
    }
}

table! {
    /// A memory.
    MemorySpec {
        /// Shape of what it holds; a list when absent.
        kind: MemoryKind;
        /// How long it lives; the episode when absent.
        scope: Scope;
        /// Most records; required.
        capacity: u32;
        /// Which record goes when it is full; the oldest when absent.
        evict: Evict;
        /// How records are found; by words when absent.
        index: MemoryIndex;
        /// Agent that decides what a write does; every write adds when absent.
        curator: String;
        /// The curator is asked once per this many writes; 1 when absent.
        every: u32;
    }
}

table! {
    /// Limits.
    BudgetSpec {
        /// Sampled tokens.
        tokens: u64;
        /// Calls of policies.
        calls: u64;
        /// Wall-clock seconds.
        seconds: f64;
        /// Money.
        cost: f64;
        /// What stands in for the answer when a limit is reached.
        on_exhausted: OutcomeWord;
        /// For `on_exhausted = "fallback"`: the text.
        fallback: String;
    }
}
