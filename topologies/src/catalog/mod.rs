//! Team files that come with the crate, usable as `catalog:NAME`.

/// A team file of the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as in `catalog:debate`.
    pub name: &'static str,
    /// The file.
    pub text: &'static str,
}

macro_rules! entries {
    ($($name:literal),+ $(,)?) => {
        &[$(Entry { name: $name, text: include_str!(concat!("../../catalog/", $name, ".toml")) }),+]
    };
}

/// Every team file of the catalog, from simple to involved.
pub const ENTRIES: &[Entry] = entries![
    // From one to eight agents: the profiles of MARFT.
    "solo",
    "duo",
    "trio",
    "quartet",
    "octet",
    // One agent, more inference.
    "chain-of-thought",
    "demonstrations",
    "least-to-most",
    "self-discover",
    "self-consistency",
    "best-of-n",
    "adaptive-sampling",
    "tree-of-thoughts",
    "graph-of-thoughts",
    "forest-of-thoughts",
    "monte-carlo-tree-search",
    "prompt-optimizer",
    // One agent, in a loop with itself, a critic or tools.
    "generator-verifier",
    "generator-critic-refiner",
    "self-refine",
    "reflexion",
    "react",
    "verify-and-edit",
    "think-on-graph",
    // Several agents.
    "debate",
    "debate-with-stances",
    "reconcile",
    "socrasynth",
    "group-debate",
    "meta-prompting",
    "mixture-of-agents",
    "meta-reasoning",
    "comm",
    "orchestrator-with-ledgers",
    "task-graph",
    "evo-agent",
    // Several agents that learn.
    "message-pool",
    "intention-sharing",
    "hierarchy",
    "debatune",
    "society",
    "acc-debate",
    // Deep research.
    "query-parallel",
    "query-sequential",
    "query-tree",
    "retrieval-gate",
    "retriever-reader",
    "rerank-pointwise",
    "rerank-pairwise",
    "rerank-listwise",
    "rerank-tournament",
    "context-compressor",
    "chain-of-note",
    "structure-filter",
    "memory-consolidation",
    "memory-index",
    "memory-update",
    "memory-paging",
    "constant-memory",
    "report-writer",
    "document-debate",
    "planner-rewriter-observer",
    "simulated-search",
];

/// The entry with this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

/// The text of a catalogued team file.
pub fn source(name: &str) -> Option<&'static str> {
    find(name).map(|entry| entry.text)
}
