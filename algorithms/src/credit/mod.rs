//! Credit: from what the team earned to what each turn is paid.
//!
//! Every rule returns one reward per turn (or per agent), to be placed with
//! [`Chain::add_turn_rewards`](crate::trajectory::Chain::add_turn_rewards). Rules without replays: [`last_agent`],
//! [`step_discount`], [`team_shared`], [`own_team_mix`], [`per_step`]. Rules that need the episode, or its rest, rolled
//! out again: [`difference`], [`leave_one_out`], [`rollout_value`].
//!
//! A rule that pays the team reward to several turns must not meet a chain that links those turns: the reward would be
//! counted once per turn. [`team_shared`] says what to use.

pub mod difference;
mod error;
pub mod last_agent;
pub mod leave_one_out;
pub mod own_team_mix;
pub mod per_step;
pub mod rollout_value;
pub mod step_discount;
pub mod team_shared;

pub use error::CreditError;

use crate::Result;

fn check_finite(rule: &'static str, what: &'static str, numbers: &[f64]) -> Result<()> {
    match numbers.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(CreditError::NotFinite { rule, what, index, value: numbers[index] }.into()),
        None => Ok(()),
    }
}

fn some_turns(rule: &'static str, turns: usize) -> Result<()> {
    if turns == 0 { Err(CreditError::NoTurns { rule }.into()) } else { Ok(()) }
}
