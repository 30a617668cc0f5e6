//! Update schedules: all agents at once, one at a time by interval, or one after the other.
//!
//! # What it is
//!
//! Says which agents learn from the batch at hand, and in which order. `concurrent` updates all from one batch;
//! `interval` trains one agent while the others stay frozen, and moves on after a number of environment steps;
//! `sequential` updates all from one batch in turn, each corrected for those before it by the
//! [factor M](super::factor).
//!
//! # Objective
//!
//! ```text
//! interval:    agent = (floor(s / K) + offset) mod n
//! sequential:  fixed 0..n, given, or a permutation drawn from (seed, update)
//! ```
//!
//! # When to use it, when not
//!
//! Concurrent is the cheapest and the default. Interval keeps every batch on policy for the agent that learns, and needs n
//! times the data. Sequential keeps the monotonic-improvement argument with one batch, at n passes.
//!
//! # Shapes, units, errors
//!
//! `step` counts environment steps of all parallel episodes
//! ([`environment_steps`](crate::preset::Algorithm::environment_steps)); `update` counts batches. Refuses no agents and an
//! order that is not a permutation.
//!
//! # References
//!
//! Liao et al. 2025 (MARFT), arXiv 2504.16129, agent-by-agent updating; Kuba et al. 2021 (HAPPO), arXiv 2109.11251.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::order::schedule::{Schedule, SequentialOrder};
//! let by_interval = Schedule::Interval { interval: 1000, offset: 0 };
//! assert_eq!(by_interval.learners(1999, 0, 2)?, [1]);
//! let fixed = Schedule::Sequential { order: SequentialOrder::Fixed };
//! assert_eq!(fixed.learners(0, 0, 3)?, [0, 1, 2]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::OrderError;
use super::shuffle::permutation;
use crate::Result;

/// When which agent learns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// All agents from every batch, with one ratio each and no correction.
    #[default]
    Concurrent,
    /// One agent at a time.
    Interval {
        /// Environment steps until the next agent's turn; 0 means all agents, as concurrent.
        interval: u64,
        /// Which agent begins. MARFT's first release began with agent 0 at the action level and 1 at the token level.
        #[serde(default)]
        offset: u32,
    },
    /// All agents from one batch, one after the other, corrected by the factor M.
    Sequential {
        /// In which order.
        #[serde(default)]
        order: SequentialOrder,
    },
}

/// The order of a sequential update.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SequentialOrder {
    /// 0, 1, 2, … in every update.
    #[default]
    Fixed,
    /// This order in every update.
    Given(Vec<u32>),
    /// A new order in every update, drawn from the seed and the number of the update: the default of HAPPO.
    Random {
        /// The seed.
        seed: u64,
    },
}

impl Schedule {
    /// The agents that learn from the batch at hand, in the order of their updates.
    pub fn learners(&self, step: u64, update: u64, agents: u32) -> Result<Vec<u32>> {
        if agents == 0 {
            return Err(OrderError::NoAgents.into());
        }
        match self {
            Self::Concurrent
            | Self::Interval { interval: 0, .. }
            | Self::Sequential { order: SequentialOrder::Fixed } => Ok((0..agents).collect()),
            Self::Interval { interval, offset } => {
                Ok(vec![((step / interval + u64::from(*offset)) % u64::from(agents)) as u32])
            }
            Self::Sequential { order: SequentialOrder::Given(order) } => {
                let mut sorted = order.clone();
                sorted.sort_unstable();
                if sorted.into_iter().eq(0..agents) {
                    Ok(order.clone())
                } else {
                    Err(OrderError::NotAPermutation { order: order.clone(), agents }.into())
                }
            }
            Self::Sequential { order: SequentialOrder::Random { seed } } => {
                let mixed = seed ^ update.wrapping_add(1).wrapping_mul(0xd134_2543_de82_ef95);
                Ok(permutation(agents as usize, mixed).into_iter().map(|agent| agent as u32).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequential(order: SequentialOrder) -> Schedule {
        Schedule::Sequential { order }
    }

    #[test]
    fn a_random_order_is_a_permutation_and_repeats_only_for_the_same_update() {
        let schedule = sequential(SequentialOrder::Random { seed: 7 });
        let orders: Vec<_> = (0..50).map(|update| schedule.learners(0, update, 4).unwrap()).collect();
        for order in &orders {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
        }
        assert_eq!(schedule.learners(9, 3, 4).unwrap(), orders[3]);
        assert!(orders.iter().any(|order| order != &orders[0]));
    }

    #[test]
    fn a_given_order_must_name_everyone_once() {
        assert_eq!(sequential(SequentialOrder::Given(vec![2, 0, 1])).learners(0, 0, 3).unwrap(), [2, 0, 1]);
        assert!(sequential(SequentialOrder::Given(vec![2, 0])).learners(0, 0, 3).is_err());
        assert!(sequential(SequentialOrder::Given(vec![0, 0, 1])).learners(0, 0, 3).is_err());
        assert!(Schedule::Concurrent.learners(0, 0, 0).is_err());
    }

    #[test]
    fn an_interval_of_zero_trains_all() {
        assert_eq!(Schedule::Interval { interval: 0, offset: 1 }.learners(5, 0, 2).unwrap(), [0, 1]);
    }
}
