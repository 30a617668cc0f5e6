//! The Rust API examples run to their end and learn what they say.

#[path = "../examples/custom_environment.rs"]
mod custom_environment;
#[path = "../examples/custom_reward.rs"]
mod custom_reward;

#[test]
fn a_custom_reward_is_learnt() {
    custom_reward::main().unwrap();
}

#[test]
fn a_custom_environment_takes_several_steps() {
    custom_environment::main().unwrap();
}
