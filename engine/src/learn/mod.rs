//! Learning: from the records of a step to updated weights.
//!
//! The `Learn` schedule is a chain of five sets, run once a step:
//!
//! | set | does |
//! |---|---|
//! | Gather | sound episodes to rows: the token sequences of the agents that learn, verbatim |
//! | Credit | rewards to turns, values and reference log-probabilities from the device, advantages |
//! | Pack | mini-batches, and chunks of them that fit one pass |
//! | Update | passes on the device, then an optimiser step for every policy and critic |
//! | Publish | what happened, as numbers |
//!
//! Agents that learn by the same algorithm form a [`Cohort`]: their turns are one chain. All policies of a cohort share
//! passes; each has a loss of its own, averaged over its own tokens, so that no agent's learning rate depends on how much
//! the others talk.

mod cohort;
mod credit;
mod error;
mod estimate;
mod gather;
mod loss;
mod pack;
mod report;
mod rescore;
mod schedule;
mod supervised;
mod update;

pub use cohort::{Cohort, KlTarget, Player};
pub use credit::Credits;
pub(crate) use credit::needs_replays;
pub use error::LearnError;
pub use report::{CriticReport, LearnReport, PolicyReport};
pub use rescore::reference_of;
pub use schedule::{LearnState, Learner, LearnerConfig};
pub use supervised::{Errors, Lesson, SupervisedReport};
