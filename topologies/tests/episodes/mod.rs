//! Whole episodes, driven in any order of answers.

mod catalog_files;
mod catalog_runs;
mod drive;
mod fixture;
mod flow;

pub(crate) use drive::{Drive, team};
