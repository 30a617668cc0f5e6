//! Whole episodes, driven in any order of answers.

mod drive;
mod fixture;
mod flow;

pub(crate) use drive::{Drive, team};
