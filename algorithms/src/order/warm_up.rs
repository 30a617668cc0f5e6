//! Critic warm-up: the policies wait until the critic knows something.
//!
//! # What it is
//!
//! A gate on the policy update. The critic learns from the first batch on; the policies only once enough environment steps
//! were taken, so that their first advantages are not the noise of a fresh value head.
//!
//! # Objective
//!
//! ```text
//! update policies  iff  s >= warm-up steps
//! ```
//!
//! # When to use it, when not
//!
//! With a critic that starts from scratch. Without a critic it only wastes data.
//!
//! # Shapes, units, errors
//!
//! Steps are environment steps of all parallel episodes
//! ([`environment_steps`](crate::preset::Algorithm::environment_steps)). Cannot fail.
//!
//! # References
//!
//! MARFT's `warmup_steps`; verl's `trainer.critic_warmup` counts updates instead.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::order::warm_up::WarmUp;
//! let warm_up = WarmUp { steps: 10 };
//! assert!(!warm_up.is_over(8) && warm_up.is_over(12));
//! ```

use serde::{Deserialize, Serialize};

/// How long the policies wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WarmUp {
    /// Environment steps during which the critic alone learns. Default 0.
    pub steps: u64,
}

impl WarmUp {
    /// Whether policies may learn at environment step `step`. The critic always may.
    pub fn is_over(self, step: u64) -> bool {
        step >= self.steps
    }
}
