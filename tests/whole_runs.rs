//! Whole runs of the real `marft` binary: what a user types, and all that comes back.
//!
//! One test binary for all of them, because each is linked to libtorch anew. A module here is one part of the command
//! line; [`program::marft`] runs it.

mod command_line;
mod models;
mod program;
