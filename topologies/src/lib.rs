//! The Flex-POMDP graph as data: team files, their checker, turn order and drawings.
//!
//! A team file is read into a [`spec::TeamSpec`] (what is typed), checked, and lowered into a [`Team`] (what it means).
//! This crate knows nothing of tensors, models or clocks, and does no IO but reading the files it is pointed at.

pub mod catalog;
pub mod check;
pub mod dependency;
pub mod draw;
pub mod expr;
mod lower;
mod profiles;
pub mod schema;
pub mod source;
pub mod spec;
pub mod team;
pub mod template;
pub mod turns;
pub mod worst_case;

pub use team::Team;
