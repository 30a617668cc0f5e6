//! Every estimator and loss of the field as pure functions: one algorithm per file, each pinned to numbers.
//!
//! This crate holds advantages, credit rules, losses, KL terms, aggregations, update orders, tree packing, and the
//! presets that combine them. It works on plain arrays and on tensors it is given. It never knows a model, a file, a
//! clock or a thread: what it returns depends on its arguments alone.
//!
//! The functions work on one layout, the [`trajectory::Chain`]: all episodes, agents and policies of a batch, flattened.
//!
//! # The algorithms
//!
//! | Algorithm | Paper | File | Peers that have it |
//! |---|---|---|---|
//! | GAE by border (MARFT-A, MARFT-T) | 1506.02438, 2504.16129 | [`advantage::gae`] | TRL, verl, OpenRLHF, MARFT (one discount) |
//! | Joint advantage, decomposition | 2109.11251, 2205.14953 | [`advantage::joint`] | HARL |
//! | Monte-Carlo returns | Williams 1992 | [`advantage::monte_carlo`] | OpenRLHF |
//! | GRPO advantages | 2402.03300 | [`advantage::grpo`] | TRL, verl, OpenRLHF |
//! | Dr. GRPO advantages | 2503.20783 | [`advantage::dr_grpo`] | TRL, verl |
//! | RLOO | 2402.14740 | [`advantage::rloo`] | TRL, verl, OpenRLHF |
//! | REINFORCE++, with or without baseline | 2501.03262 | [`advantage::reinforce_pp`] | verl, OpenRLHF |
//! | Dr. MAS | 2602.08847 | [`advantage::dr_mas`] | Dr. MAS |
//! | GiGPO | 2505.10978 | [`advantage::gigpo`] | verl-agent |
//! | AT-GRPO | 2510.11062 | [`advantage::at_grpo`] | PettingLLMs |
//! | MAGRPO | 2508.04652 | [`advantage::magrpo`] | CoMLRL |
//! | RAE | 2506.24119 | [`advantage::rae`] | SPIRAL, prime-rl |
//! | Normalisation by scope | 2006.05990 | [`advantage::normalise`] | all (batch), AReaL (group), Dr. MAS (agent) |
//! | Rescaling by pass rate, by entropy | KAT-Dev-72B-Exp | [`advantage::rescale`] | - |
//! | Last agent, step discount, per step | 2504.16129 | [`credit`] | MARFT |
//! | Team shared, own-team mix | 2011.09533 | [`credit`] | MARFT, PettingLLMs |
//! | Difference reward, leave one out | 1705.08926 | [`credit::difference`], [`credit::leave_one_out`] | - |
//! | Roll-out value | 2312.08935, 2410.01679 | [`credit::rollout_value`] | VinePPO |
//! | Concurrent, interval, sequential updates | 2504.16129, 2109.11251 | [`order::schedule`] | MARFT, HARL |
//! | HAPPO's factor M | 2109.11251 | [`order::factor`] | HARL |

pub mod action_logprob;
pub mod advantage;
pub mod credit;
mod error;
pub mod kl;
pub mod loss;
pub mod order;
pub mod preference;
pub mod preset;
pub mod reward_model;
pub mod supervised;
pub mod trajectory;
pub mod tree;
pub mod value;

pub use error::{Error, Result};
