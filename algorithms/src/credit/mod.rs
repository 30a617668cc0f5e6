//! Credit: from what the team earned to what each turn is paid.

mod error;

pub use error::CreditError;
