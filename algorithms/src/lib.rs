//! marft crate
