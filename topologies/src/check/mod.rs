//! The checker: reports every problem of a file at once, one family of diagnostics per file.

mod code;
pub(crate) mod names;
mod problem;

pub use code::Code;
pub use problem::Problem;
