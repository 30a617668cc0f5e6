//! Run files: what a right one means, and what wrong ones are told.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod folder;
mod meaning;
mod problems;
mod published;
mod random;
