//! Order: which policies are updated when, on which rows, and with what correction.

mod error;

pub use error::OrderError;
