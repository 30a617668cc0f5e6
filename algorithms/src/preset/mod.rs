//! Presets: an algorithm by its name, with the settings of its paper, of TRL or of verl, and any override.
//!
//! A preset is a set of values for the flat settings of [`Algorithm`]. `defaults` chooses whose values: ours (`marft`),
//! or those that the same name means to users of `trl` and `verl`. Overrides may use either vocabulary; an
//! unknown key is refused with the nearest known one, and so is a key that the chosen algorithm would not read.
//!
//! | Preset | What it is | Flavours |
//! |---|---|---|
//! | `marft-a` | MARFT at the action level: one advantage per agent and step | marft |
//! | `marft-t` | MARFT at the token level: undiscounted inside an action, own lambda | marft |
//! | `marft-v1`, `marft-v1-token` | what the first release of MARFT does, defects included | marft |
//! | `ppo` | clipped PPO with a critic | marft, trl, verl |
//! | `grpo` | group-relative advantages | marft, trl, verl |
//! | `dr-grpo` | no deviation, constant divisor | marft, trl, verl |
//! | `dapo` | clip-higher, token mean, dynamic sampling, overlong penalty | marft, trl, verl |
//! | `gspo` | ratio of the whole sequence | marft, trl, verl |
//! | `cispo` | clipped weights, gradient for every token | marft, trl, verl |
//! | `rloo` | leave-one-out baseline | marft, trl, verl |
//! | `reinforce++`, `reinforce++-baseline` | batch-normalised returns | marft, verl |
//! | `gigpo` | groups inside groups | marft |
//! | `at-grpo` | groups by agent and turn | marft |
//! | `magrpo` | joint groups by step | marft |
//! | `dr-mas` | each agent by its own rewards | marft |
//! | `rae` | running baseline by role | marft |
//!
//! ```
//! use marft_algorithms::preset::Algorithm;
//! let settings = serde_json::json!({ "preset": "grpo", "defaults": "trl", "num_generations": 4 });
//! let algorithm = Algorithm::from_settings(settings.as_object().unwrap())?;
//! assert_eq!((algorithm.group_size, algorithm.clip_high), (4, 0.2));
//! let typo = serde_json::json!({ "preset": "grpo", "num_generation": 4 });
//! let refused = Algorithm::from_settings(typo.as_object().unwrap()).unwrap_err();
//! assert!(refused.to_string().contains("num_generations"));
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

mod algorithm;
mod check;
mod choices;
mod error;
mod estimate;
mod losses;
mod names;
mod rescale;
mod resolve;
mod tables;
mod unread;

pub use algorithm::Algorithm;
pub use choices::{
    ActionNorm, AggregationName, Compat, CreditRule, Defaults, Estimator, Level, Linkage, LossKind, Rescale,
    ScheduleKind, ValueError,
};
pub use error::PresetError;
pub use estimate::Estimate;
pub use rescale::Rollouts;
pub use tables::PRESETS;
