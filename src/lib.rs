//! marft
