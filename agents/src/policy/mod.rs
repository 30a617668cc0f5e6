//! Policies without weights of our own: servers that speak the OpenAI protocol, scripts, and people.

pub mod human;
pub mod remote;
pub mod scripted;
