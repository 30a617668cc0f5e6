//! Whole episodes through the public API, with scripted answers.

mod episodes;
