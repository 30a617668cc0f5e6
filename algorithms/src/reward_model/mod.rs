//! Losses of reward models: judges of outcomes (ORM) and of steps (PRM), and the labels they learn from.

mod logistic;
pub mod orm;
pub mod prm;
pub mod rollout_labels;

pub use orm::{OrmPairwise, orm_pairwise, orm_pointwise};
pub use prm::{Prm, prm};
pub use rollout_labels::{StepLabel, step_labels};
