//! What generation has done and where its time went: for telemetry, and for the bench to know the work behind a number.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The size of one forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PassShape {
    /// Rows through the blocks.
    pub rows: usize,
    /// Rows through the output head.
    pub head_rows: usize,
}

/// Time by phase of a step, summed over steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Phases {
    /// Admission, block tables, input tensors.
    pub plan: Duration,
    /// Attention, cache writes included.
    pub attention: Duration,
    /// The low-rank parts of adapters.
    pub adapters: Duration,
    /// Everything else in the blocks: linear layers, norms, rotation.
    pub blocks: Duration,
    /// The output head.
    pub head: Duration,
    /// Drawing tokens.
    pub draw: Duration,
    /// Appending tokens, stop rules, answers.
    pub apply: Duration,
}

/// Counters since the generator was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GeneratorStats {
    /// How often each size of pass ran.
    pub passes: BTreeMap<PassShape, u64>,
    /// Tokens sampled.
    pub generated: u64,
    /// Prompt tokens computed.
    pub prefilled: u64,
    /// Prompt tokens that came out of the cache or were read by another request.
    pub cached: u64,
    /// Requests put back because blocks ran out.
    pub preempted: u64,
    /// Passes that failed and were tried again in halves.
    pub failed_passes: u64,
    /// Time by phase.
    pub phases: Phases,
}

/// Adds the time since `since` to `sum`, and starts anew.
pub(crate) fn lap(since: &mut Instant, sum: &mut Duration) {
    let now = Instant::now();
    *sum += now - *since;
    *since = now;
}
