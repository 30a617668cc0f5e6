//! Advantages: how much better an action was than what was to be expected of it.
//!
//! With a critic: [`gae`] along the chain, [`joint`] for the team as one, [`monte_carlo`] with the critic as baseline.
//! Without: comparison within groups ([`grpo`], [`dr_grpo`], [`rloo`], [`dr_mas`], [`at_grpo`], [`magrpo`], [`gigpo`]),
//! with the batch ([`reinforce_pp`]), or with the past of a role ([`rae`]). [`normalise`] and [`rescale`] come after.

pub mod at_grpo;
pub mod dr_grpo;
pub mod dr_mas;
mod error;
pub mod gae;
pub mod gigpo;
pub mod group;
pub mod grpo;
pub mod joint;
pub mod magrpo;
pub mod monte_carlo;
pub mod normalise;
pub mod rae;
pub mod reinforce_pp;
pub mod rescale;
pub mod rloo;
mod turns;

pub use error::AdvantageError;
