//! Preference losses: learning from which of two answers is better, or whether one is good.
//!
//! They take the log-probability of whole answers, `[pairs]`, as [`action_logprob`](crate::action_logprob) makes them:
//! the plain sum, except where a file says otherwise.

pub mod dpo;
pub mod ipo;
pub mod kto;
pub mod orpo;
mod pairs;
pub mod simpo;

pub use dpo::{Dpo, DpoCurve, dpo};
pub use ipo::{Ipo, ipo};
pub use kto::{Kto, KtoBatch, KtoLoss, kto, kto_reference_point};
pub use orpo::{Orpo, orpo};
pub use pairs::{PairLogps, PreferenceLoss};

pub(crate) use pairs::report;
pub use simpo::{SimPo, simpo};
