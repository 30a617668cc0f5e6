//! Whole episodes through the public API, with scripted answers.

#![expect(
    clippy::unwrap_used,
    clippy::assigning_clones,
    reason = "a test that cannot go on fails, and speed is nothing to it"
)]

mod episodes;
