//! Divergence from a reference policy: estimates, and the ways to use them.

pub mod controller;
pub mod estimator;
pub mod gate;
pub mod in_loss;
pub mod in_reward;

pub use controller::KlController;
pub use estimator::KlEstimator;
pub use gate::KlGate;
pub use in_loss::{KlInLoss, kl_in_loss};
pub use in_reward::{PenalisedReward, kl_in_reward};

pub(crate) use estimator::KlTask;
