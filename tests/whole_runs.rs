//! Whole runs of the real `marft` binary: what a user types, and all that comes back.
//!
//! One test binary for all of them, because each is linked to libtorch anew. A module here is one part of the command
//! line; [`program::marft`] runs it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod command_line;
mod examples;
mod export;
#[path = "../engine/tests/fixtures/pair/home.rs"]
mod home;
mod models;
mod people;
mod program;
mod run_files;
mod team_files;
mod training;
