//! What an update order refuses.

/// An update that cannot be arranged as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// No agent to update.
    #[error("there is no agent to update: mark at least one policy as trainable")]
    NoAgents,
    /// A given order is not a permutation.
    #[error(
        "the order {order:?} does not name each of the {agents} agents once: list every agent 0..{agents} exactly once, or use `random`"
    )]
    NotAPermutation {
        /// The order given.
        order: Vec<u32>,
        /// The number of agents.
        agents: u32,
    },
    /// More mini-batches than rows.
    #[error(
        "{rows} rows cannot fill {batches} mini-batches: lower num_mini_batches to at most {rows}, or collect more rows"
    )]
    TooManyBatches {
        /// Rows at hand.
        rows: usize,
        /// Mini-batches asked for.
        batches: usize,
    },
    /// Two inputs that belong together differ in length.
    #[error("{what} has {got} entries, expected {want}")]
    Length {
        /// Which input.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The expected length.
        want: usize,
    },
    /// A NaN or an infinity.
    #[error(
        "{what} is {value} at row {index}: stop the sequential pass here, the policies that follow would be weighted by it"
    )]
    NotFinite {
        /// Which input.
        what: &'static str,
        /// Where.
        index: usize,
        /// What.
        value: f64,
    },
    /// A chunk weight without a total.
    #[error("the batch has no {unit} in the loss: skip the update instead of dividing by zero")]
    EmptyBatch {
        /// Tokens or rows.
        unit: &'static str,
    },
}
