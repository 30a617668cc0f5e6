//! Divergence from a reference policy: estimates, and the ways to use them.

pub mod estimator;

pub use estimator::KlEstimator;
