//! Tools: what a team may call that is no policy. Each runs beside the engine's thread, under a limit of calls at a time
//! and a limit of time; what it gives, or why it gives nothing, comes back like any answer.

mod calculator;
mod program;
mod registry;
mod search;
mod serve;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::seed::Seed;
use crate::task::Task;

pub use calculator::Calculator;
pub use program::Program;
pub use registry::ToolRegistry;
pub use search::Search;
pub(crate) use serve::send;

/// One call of a tool.
#[derive(Debug, Clone)]
pub struct ToolRequest {
    /// The tool's name.
    pub tool: String,
    /// Who calls it: an agent's label, or the function's.
    pub caller: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
    /// The episode's task.
    pub task: Arc<Task>,
    /// Where its random numbers come from.
    pub seed: Seed,
}

/// Why a tool gave nothing: never a reward of 0. A tool that has bad news for its caller (no such page, a wrong argument)
/// says it in its result instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ToolFault {
    /// What happened.
    pub message: String,
    /// Whether calling again may help.
    pub transient: bool,
}

/// What a tool gives.
pub type ToolResult = Result<String, ToolFault>;

/// A result that will come.
pub type ToolFuture<'a> = Pin<Box<dyn Future<Output = ToolResult> + Send + 'a>>;

/// Something that can be called.
pub trait Tool: Send + Sync + std::fmt::Debug {
    /// Serves one call. The future is dropped when the call is withdrawn or takes too long.
    fn call(&self, request: ToolRequest) -> ToolFuture<'_>;

    /// What it does and takes, as a JSON schema of a function, for the agents that may call it.
    fn schema(&self) -> Option<Value> {
        None
    }
}

/// How a tool may be used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolLimits {
    /// Calls at a time; more of them wait their turn.
    pub concurrency: usize,
    /// How long one call may take, waiting apart.
    pub patience: Duration,
}

impl Default for ToolLimits {
    /// Eight calls at a time, a minute each.
    fn default() -> Self {
        Self { concurrency: 8, patience: Duration::from_mins(1) }
    }
}

/// A tool with its limits.
#[derive(Debug, Clone)]
struct Registered {
    tool: Arc<dyn Tool>,
    limits: ToolLimits,
    places: Arc<Semaphore>,
}

/// Tools by name.
///
/// ```
/// use marft_engine::tool::{ToolLimits, Tools};
///
/// let mut tools = Tools::default();
/// tools.blocking("shout", ToolLimits::default(), |request| {
///     Ok(request.arguments.get("text").and_then(|text| text.as_str()).unwrap_or_default().to_uppercase())
/// });
/// assert!(tools.contains("shout"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tools {
    registered: BTreeMap<String, Registered>,
}

impl Tools {
    /// Registers a tool; one of the same name gives way.
    pub fn register(&mut self, name: &str, limits: ToolLimits, tool: Arc<dyn Tool>) {
        let places = Arc::new(Semaphore::new(limits.concurrency.clamp(1, Semaphore::MAX_PERMITS)));
        self.registered.insert(name.to_owned(), Registered { tool, limits, places });
    }

    /// Registers a function that blocks. It runs on a thread of its own, and cannot be stopped once it runs: a call that
    /// takes too long is given up, its thread goes on.
    pub fn blocking(
        &mut self,
        name: &str,
        limits: ToolLimits,
        call: impl Fn(ToolRequest) -> ToolResult + Send + Sync + 'static,
    ) {
        self.register(name, limits, Arc::new(Blocking { name: name.to_owned(), call: Arc::new(call) }));
    }

    /// Whether a tool of this name is registered.
    pub fn contains(&self, name: &str) -> bool {
        self.registered.contains_key(name)
    }

    /// Schemas of the tools with these names that have one, under these names.
    pub(crate) fn schemas(&self, names: &[String]) -> Vec<Value> {
        names.iter().filter_map(|name| self.schema(name)).collect()
    }

    /// The tools with these names as the chat protocol declares them; one without a schema takes any arguments.
    pub(crate) fn declared(&self, names: &[String]) -> Vec<Value> {
        let any = |name: &String| json!({ "name": name, "parameters": { "type": "object" } });
        let schema = |name: &String| self.schema(name).unwrap_or_else(|| any(name));
        names.iter().map(|name| json!({ "type": "function", "function": schema(name) })).collect()
    }

    fn schema(&self, name: &str) -> Option<Value> {
        let mut schema = self.registered.get(name)?.tool.schema()?;
        // a kind does not know what a run calls it
        if let Some(fields) = schema.as_object_mut() {
            fields.insert("name".to_owned(), Value::from(name));
        }
        Some(schema)
    }
}

/// A function that blocks.
struct Blocking {
    name: String,
    call: Arc<dyn Fn(ToolRequest) -> ToolResult + Send + Sync>,
}

impl std::fmt::Debug for Blocking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocking").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tool for Blocking {
    fn call(&self, request: ToolRequest) -> ToolFuture<'_> {
        let call = Arc::clone(&self.call);
        Box::pin(async move {
            let joined = tokio::task::spawn_blocking(move || call(request)).await;
            joined.unwrap_or_else(|error| Err(ToolFault { message: died(&error), transient: false }))
        })
    }
}

/// An argument that is a text; what to tell the caller where it is none.
fn argument<'r>(request: &'r ToolRequest, name: &str) -> Result<&'r str, String> {
    request.arguments.get(name).and_then(Value::as_str).ok_or_else(|| format!("the argument `{name}` is missing"))
}

fn died(error: &tokio::task::JoinError) -> String {
    if error.is_panic() { "the tool panicked".to_owned() } else { "the tool was shut down".to_owned() }
}
