//! Every estimator and loss of the field as pure functions: one algorithm per file, each pinned to numbers.
//!
//! This crate holds advantages, credit rules, losses, KL terms, aggregations, update orders, tree packing, and the
//! presets that combine them. It works on plain arrays and on tensors it is given. It never knows a model, a file or a
//! clock: what it returns depends on its arguments alone.
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
//! | Last agent, step discount, per step | 2504.16129 | [`credit::last_agent`], [`credit::step_discount`], [`credit::per_step`] | MARFT |
//! | Team shared, own-team mix | 2011.09533 | [`credit::team_shared`], [`credit::own_team_mix`] | MARFT, PettingLLMs |
//! | Difference reward, leave one out | 1705.08926 | [`credit::difference`], [`credit::leave_one_out`] | - |
//! | Roll-out value | 2312.08935, 2410.01679 | [`credit::rollout_value`] | VinePPO |
//! | Concurrent, interval, sequential updates | 2504.16129, 2109.11251 | [`order::schedule`] | MARFT, HARL |
//! | HAPPO's factor M | 2109.11251 | [`order::factor`] | HARL |
//! | Critic warm-up | 2504.16129 | [`order::warm_up`] | MARFT, verl (by updates) |
//! | Mini-batches that lose no row | Bottou 2012 | [`order::mini_batch`] | all (MARFT loses some) |
//! | Chunks that add up to their batch | transformers 34198 | [`order::accumulation`] | verl, TRL |
//! | PPO clip, clip-higher; action and token level | 1707.06347, 2503.14476 | [`loss::ppo_clip`](mod@loss::ppo_clip) | TRL, verl, OpenRLHF, AReaL, MARFT |
//! | Dual clip, two-sided clip | 1912.09729 | [`loss::dual_clip`](mod@loss::dual_clip) | verl, TRL (`delta`) |
//! | GRPO loss | 2402.03300 | [`loss::grpo`](mod@loss::grpo) | TRL, verl |
//! | DAPO loss, dynamic sampling, overlong penalty | 2503.14476 | [`loss::dapo`](mod@loss::dapo) | verl, TRL (loss) |
//! | Dr. GRPO loss | 2503.20783 | [`loss::dr_grpo`](mod@loss::dr_grpo) | TRL, verl |
//! | GSPO | 2507.18071 | [`loss::gspo`](mod@loss::gspo) | TRL, verl |
//! | CISPO | 2506.13585 | [`loss::cispo`](mod@loss::cispo) | TRL, verl |
//! | REINFORCE | Williams 1992 | [`loss::reinforce`](mod@loss::reinforce) | all |
//! | Decoupled PPO | 2110.00641, 2505.24298 | [`loss::decoupled`](mod@loss::decoupled) | AReaL, verl |
//! | Truncated importance sampling | Yao et al. 2025 | [`loss::tis`](mod@loss::tis) | TRL, verl, OpenRLHF |
//! | Entropy bonus | 1602.01783 | [`loss::entropy`] | TRL, verl, MARFT |
//! | Aggregations | 2402.03300, 2503.14476, 2503.20783 | [`loss::aggregate`] | verl, TRL (by loss) |
//! | KL k1, k2, k3; in loss, in reward | Schulman 2020, 1909.08593 | [`kl::estimator`], [`kl::in_loss`], [`kl::in_reward`] | TRL, verl, OpenRLHF |
//! | Fixed and adaptive KL controllers | 1909.08593 | [`kl::controller`] | verl, OpenRLHF |
//! | KL gate per agent | 2405.15821 | [`kl::gate`] | MARFT (one threshold) |
//! | Action log-probability: sum, token, word | 2401.14151 | [`action_logprob`](mod@action_logprob) | TWOSOME, MARFT |
//! | Value loss: clip, MSE, Huber | 2103.01955 | [`value::clipped`] | verl, TRL, MARFT (one-sided Huber) |
//! | Token-weighted SFT | 2203.02155 | [`supervised::sft`](mod@supervised::sft) | TRL (mask) |
//! | Error-masked SFT | 2510.18779 | [`supervised::error_masked`] | KAT-Coder |
//! | DPO (sigmoid, robust, hinge) | 2305.18290 | [`preference::dpo`](mod@preference::dpo) | TRL |
//! | IPO, SimPO | 2310.12036, 2405.14734 | [`preference::ipo`](mod@preference::ipo), [`preference::simpo`](mod@preference::simpo) | TRL |
//! | ORPO, KTO | 2403.07691, 2402.01306 | [`preference::orpo`](mod@preference::orpo), [`preference::kto`](mod@preference::kto) | TRL |
//! | Outcome and process reward models | 2110.14168, 2305.20050 | [`reward_model::orm`], [`reward_model::prm`](mod@reward_model::prm) | TRL, OpenRLHF |
//! | Step labels by roll-out | 2312.08935 | [`reward_model::rollout_labels`] | - |
//! | Tree packing | 2511.00413 | [`tree`] | AReaL |

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
