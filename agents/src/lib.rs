//! marft crate

pub mod generate;
