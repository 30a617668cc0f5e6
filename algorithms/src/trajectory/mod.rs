//! The trajectory layout every estimator works on: one flattened, ragged chain of all episodes, agents and policies.
//!
//! Episodes follow one another; inside an episode, turns stand in the order in which they were taken; inside a turn,
//! its tokens. Each element carries its reward, its value, the log-probability it was sampled with, whether it is in
//! the loss, and the [`Boundary`] after it. Identities (episode, step, agent, policy, role, group, node) are per turn.
//! One layout gives one reverse scan: the action level is the special case of one element per action.
//!
//! Observation tokens may stand in the chain. They are outside the loss, and outside the loss means *skipped*: the
//! next value and the running advantage pass through them unchanged. Setting them to zero would cut the chain.

mod boundary;
mod chain;
mod error;
mod real;
mod record;
mod regroup;

pub use boundary::Boundary;
pub use chain::{Chain, Turn, TurnIds};
pub use error::TrajectoryError;
pub use real::Real;
pub use record::{Close, EpisodeRecord, TurnRecord};
pub use regroup::Regrouped;
