//! Whole episodes, driven in any order of answers.

mod catalog_files;
mod catalog_runs;
mod control;
mod drive;
mod fixture;
mod flow;
mod random;

pub(crate) use drive::{Drive, team};
