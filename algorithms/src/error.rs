//! Every refusal of this crate, in one enum of families.
//!
//! A refusal always says two things: why the request makes no sense, and what to use instead. The families live beside
//! the code that raises them, so that a file can be read with its own refusals.

use crate::advantage::AdvantageError;
use crate::credit::CreditError;
use crate::loss::LossError;
use crate::order::OrderError;
use crate::preset::PresetError;
use crate::trajectory::TrajectoryError;
use crate::tree::TreeError;

/// What a function of this crate can refuse, by the family of the function.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The trajectory is not well formed.
    #[error(transparent)]
    Trajectory(#[from] TrajectoryError),
    /// An advantage estimator cannot work with what it was given.
    #[error(transparent)]
    Advantage(#[from] AdvantageError),
    /// A reward cannot be attributed as asked.
    #[error(transparent)]
    Credit(#[from] CreditError),
    /// An update order, a mini-batch split or an accumulation is impossible.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// A loss cannot be computed.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// The settings name or describe no algorithm.
    #[error(transparent)]
    Preset(#[from] PresetError),
    /// Branches cannot be packed into a tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
