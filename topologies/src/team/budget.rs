//! Budgets: counters that stop things, and what then stands in for the answer.

/// Limits of a node, block or team; `None` = no limit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Budget {
    /// Sampled tokens.
    pub tokens: Option<u64>,
    /// Calls of policies.
    pub calls: Option<u64>,
    /// Wall-clock seconds.
    pub seconds: Option<f64>,
    /// Money, in the currency of the price list the run file names.
    pub cost: Option<f64>,
    /// What is returned when a limit is reached.
    pub on_exhausted: Option<Outcome>,
}

impl Budget {
    /// Whether it limits anything.
    pub fn is_unlimited(&self) -> bool {
        self.tokens.is_none() && self.calls.is_none() && self.seconds.is_none() && self.cost.is_none()
    }
}

/// What stands in for the answer when a budget runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The episode fails with that reason.
    Fail,
    /// The last complete output.
    Last,
    /// Nothing: it counts as skipped.
    Skip,
    /// This text.
    Fallback(String),
}
